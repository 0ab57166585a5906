package media

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/asticode/go-astiav"
)

// openCut opens a clip with the keyframe at from as the first picture to be read.
func openCut(ctx context.Context, src Source, from int64) (*input, error) {
	open := func() (*input, error) {
		in, err := openInput(ctx, src)
		if err != nil {
			return nil, err
		}
		if err := in.findOrigin(); err != nil {
			in.close()
			return nil, err
		}
		return in, nil
	}
	in, err := open()
	if err != nil || from == 0 {
		return in, err
	}
	if in.reorder == nil && !in.mends() && in.seek(from-resumeDistance) {
		found, err := in.skipTo(from)
		if err != nil {
			in.close()
			return nil, err
		}
		if found {
			return in, nil
		}
	}
	// Not every container can be entered in the middle: what its times mean there may depend on all that was before. All
	// can be read from the beginning.
	in.close()
	if in, err = open(); err != nil {
		return nil, err
	}
	found, err := in.skipTo(from)
	if err == nil && !found {
		err = fmt.Errorf("cut: the clip has no keyframe at %d µs, where the part before ended: it was changed", from)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// seek goes to a keyframe before a time, if it can.
func (in *input) seek(to int64) bool {
	for _, p := range in.queue {
		p.Free()
	}
	in.queue = nil
	target := in.origin + rescale(max(0, to), microsecond, in.base)
	return in.format.SeekFrame(in.video.Index(), target, astiav.NewSeekFlags(astiav.SeekFlagBackward)) == nil
}

// skipTo drops what lies before the keyframe at a time, which is then the first picture to be read. It says false where
// there is none.
func (in *input) skipTo(from int64) (bool, error) {
	var sound []*astiav.Packet // of the time after, that lies before in the file
	for {
		p, err := in.read()
		switch {
		case errors.Is(err, io.EOF):
			in.queue = sound
			return false, nil
		case err != nil:
			in.queue = sound // for close
			return false, err
		}
		if !in.isVideo(p) {
			if in.soundTime(p) >= from {
				sound = append(sound, p)
			} else {
				p.Free()
			}
			continue
		}
		if stamp(p) && p.Flags().Has(astiav.PacketFlagKey) {
			switch at := in.since(p.Pts()); {
			case at == from:
				in.queue = append(append(sound, p), in.queue...)
				return true, nil
			case at > from:
				p.Free()
				in.queue = append(sound, in.queue...)
				return false, nil
			}
		}
		p.Free()
	}
}

// soundTime is that of a packet of sound, on the clip's clock.
func (in *input) soundTime(p *astiav.Packet) int64 {
	pts := p.Pts()
	if pts == astiav.NoPtsValue {
		pts = p.Dts()
	}
	return rescale(pts, in.audio.TimeBase(), microsecond) - rescale(in.origin, in.base, microsecond)
}
