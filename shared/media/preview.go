package media

// #include <libavcodec/avcodec.h>
import "C"

import (
	"slices"

	"github.com/asticode/go-astiav"
)

// preview looks at packets before they are decoded, so that pictures that are not wanted and that no other refers to need
// not be decoded at all.
type preview struct {
	ahead []*astiav.Packet // in decoding order
	times []int64          // of pictures near, decoded and to come, sorted
	ended bool
}

const (
	previewAhead = maxReorder + 1 // packets after which nothing is shown before the first of them any more, or next to it
	previewTimes = 4 * previewAhead
)

// skips tells whether a codec marks what nobody refers to, for sure. HEVC does so for each of its temporal layers only.
func skips(id astiav.CodecID) bool {
	switch id {
	case astiav.CodecIDH264, astiav.CodecIDMpeg1Video, astiav.CodecIDMpeg2Video, astiav.CodecIDMpeg4:
		return true
	}
	return false
}

// full tells whether enough is known of the first packet.
func (v *preview) full() bool { return v.ended || len(v.ahead) > previewAhead }

func (v *preview) add(p *astiav.Packet) {
	v.ahead = append(v.ahead, p)
	if !stamp(p) {
		return
	}
	i, _ := slices.BinarySearch(v.times, p.Pts())
	v.times = slices.Insert(v.times, i, p.Pts())
	if len(v.times) > previewTimes {
		v.times = slices.Delete(v.times, 0, 1)
	}
}

// next takes the first packet, nil at the end, and tells when the picture shown after it is.
func (v *preview) next() (p *astiav.Packet, until int64, known bool) {
	if len(v.ahead) == 0 {
		return nil, 0, false
	}
	p = v.ahead[0]
	v.ahead = v.ahead[1:]
	i, found := slices.BinarySearch(v.times, p.Pts()+1)
	if p.Pts() == astiav.NoPtsValue || !found && i == len(v.times) {
		return p, 0, false
	}
	return p, v.times[i], true
}

func (v *preview) close() {
	for _, p := range v.ahead {
		p.Free()
	}
	v.ahead = nil
}

// skipUnreferenced has the decoder leave out the next packet if no other picture refers to it.
func skipUnreferenced(codec *astiav.CodecContext, skip bool) {
	c := (*C.AVCodecContext)(codec.UnsafePointer())
	c.skip_frame = C.AVDISCARD_DEFAULT
	if skip {
		c.skip_frame = C.AVDISCARD_NONREF
	}
}
