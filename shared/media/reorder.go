package media

// #include <libavcodec/avcodec.h>
// static AVCodecParserContext *media_open_parser(int id)
// {
//     AVCodecParserContext *p = av_parser_init(id);
//     if (p)
//         p->flags |= PARSER_FLAG_COMPLETE_FRAMES;
//     return p;
// }
// static int media_picture_number(AVCodecParserContext *p, AVCodecContext *c, const uint8_t *data, int size)
// {
//     uint8_t *out;
//     int n;
//     p->output_picture_number = 0;
//     av_parser_parse2(p, c, &out, &n, data, size, AV_NOPTS_VALUE, AV_NOPTS_VALUE, 0);
//     return p->output_picture_number;
// }
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// reorder finds out when the pictures of an H.264 or HEVC stream are shown whose container does not say so: AVI with
// B-frames, and bare streams, which have no times at all. The pictures themselves say in which order they are shown; the
// times are those at which they come, given out in that order.
type reorder struct {
	codec  *astiav.CodecContext
	parser *C.AVCodecParserContext
	clock  int64 // when the next picture comes, where there is no time at all
	step   int64 // for pictures that do not tell how long they are shown

	held  []*ordered // in decoding order, as far as one whose time is not known
	times []int64    // at which they came and that were not given out
	ended bool
}

type ordered struct {
	packet *astiav.Packet
	number int // in order of display, since the last start
	timed  bool
}

// newReorder gives nil where it is of no use.
func newReorder(in *input, first *astiav.Packet) (*reorder, error) {
	id := in.videoCodec.CodecID()
	if first.Pts() != astiav.NoPtsValue || id != astiav.CodecIDH264 && id != astiav.CodecIDHevc {
		return nil, nil
	}
	decoder := astiav.FindDecoder(id)
	r := &reorder{step: max(1, rescale(in.interval(), microsecond, in.base))}
	if decoder != nil {
		r.codec = astiav.AllocCodecContext(decoder)
	}
	r.parser = C.media_open_parser(C.int(id))
	if r.codec == nil || r.parser == nil {
		r.close()
		return nil, errors.New("open clip: FFmpeg lacks what tells the order of its pictures")
	}
	if err := in.videoCodec.ToCodecContext(r.codec); err != nil {
		r.close()
		return nil, fmt.Errorf("open clip: %w", err)
	}
	return r, nil
}

// push takes a packet, which is its own from then on; nil is the end.
func (r *reorder) push(p *astiav.Packet) {
	if p == nil {
		r.ended = true
		r.settle(0)
		return
	}
	at := p.Dts()
	if at == astiav.NoPtsValue {
		at = r.clock
	}
	step := p.Duration()
	if step <= 0 {
		step = r.step
	}
	r.clock = at + step
	data := p.Data()
	number := int(C.media_picture_number(r.parser, (*C.AVCodecContext)(r.codec.UnsafePointer()),
		(*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(data))), C.int(len(data))))
	if number == 0 && p.Flags().Has(astiav.PacketFlagKey) {
		r.settle(0) // counting starts anew
	}
	p.SetDts(astiav.NoPtsValue)
	r.held = append(r.held, &ordered{packet: p, number: number})
	r.times = append(r.times, at)
	r.settle(maxReorder)
}

// settle gives the earliest times to the pictures shown first, until only so many are left without.
func (r *reorder) settle(left int) {
	for {
		var first *ordered
		waiting := 0
		for _, o := range r.held {
			if o.timed {
				continue
			}
			waiting++
			if first == nil || o.number < first.number {
				first = o
			}
		}
		if waiting <= left {
			return
		}
		first.timed = true
		first.packet.SetPts(slices.Min(r.times))
		r.times = slices.Delete(r.times, slices.Index(r.times, first.packet.Pts()), 1+slices.Index(r.times, first.packet.Pts()))
	}
}

// pull gives the next packet in decoding order, the caller's then, or nil where more have to be pushed first.
func (r *reorder) pull() *astiav.Packet {
	if len(r.held) == 0 || !r.held[0].timed {
		return nil
	}
	p := r.held[0].packet
	r.held = r.held[1:]
	return p
}

func (r *reorder) close() {
	for _, o := range r.held {
		o.packet.Free()
	}
	r.held = nil
	if r.parser != nil {
		C.av_parser_close(r.parser)
		r.parser = nil
	}
	if r.codec != nil {
		r.codec.Free()
		r.codec = nil
	}
}
