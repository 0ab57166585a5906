package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/asticode/go-astiav"
)

// Joined is where a segment lies in the joined video: microseconds.
type Joined struct {
	At     int64
	Length int64
}

// Join copies encoded segments (see [Encode]) one after another into an MP4 at path that can be played while it loads. It
// encodes nothing: what was not encoded with one setting is refused. A segment begins exactly where the one before ends;
// its sound keeps within 11 ms of its picture, however many there are. What stands at path is overwritten, and to be
// removed by the caller after an error.
func Join(ctx context.Context, path string, segments []Source) (_ []Joined, err error) {
	if len(segments) == 0 {
		return nil, errors.New("join: no segments")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	quiet()
	j := &joining{}
	defer j.close()
	if j.sink, err = newFileSink("mp4", "file:"+absolute); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	var all []Joined
	for i, s := range segments {
		at := j.at
		if err := j.add(ctx, s); err != nil {
			return nil, fmt.Errorf("join segment %d of %d: %w", i+1, len(segments), err)
		}
		all = append(all, Joined{At: at, Length: j.at - at})
	}
	if err := j.sink.end(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return all, nil
}

// joining is a joined video under way.
type joining struct {
	sink  *sink
	video *astiav.Stream // set with the first segment
	sound *astiav.Stream // nil: silent
	at    int64          // end of what is joined
	heard int64          // packets of sound so far
}

// slot is the packet of sound that a time falls to: sound comes in a grid of its own, which goes on without a gap over all
// segments, and every segment fills the part of it that is nearest to its time.
func (j *joining) slot(at int64) int64 {
	size := int64(j.sound.CodecParameters().FrameSize())
	return (rescale(at, microsecond, sample) + size/2) / size
}

func (j *joining) add(ctx context.Context, src Source) error {
	in, err := openInput(ctx, src)
	if err != nil {
		return err
	}
	defer in.close()
	if j.video == nil {
		if err := j.begin(in); err != nil {
			return err
		}
	} else if err := j.same(in); err != nil {
		return err
	}

	length := rescale(in.video.Duration(), in.base, microsecond)
	if length <= 0 {
		return errors.New("it does not say how long it lasts")
	}
	end := j.at + length
	for {
		p, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if in.isVideo(p) {
			err = j.show(p, in.base)
		} else {
			err = j.hear(p, end)
		}
		p.Free()
		if err != nil {
			return err
		}
	}
	if j.sound != nil && j.heard != j.slot(end) {
		return fmt.Errorf("its sound ends %d packets early", j.slot(end)-j.heard)
	}
	j.at = end
	return nil
}

func (j *joining) show(p *astiav.Packet, base astiav.Rational) error {
	p.RescaleTs(base, microsecond)
	if p.Pts() != p.Dts() {
		return errors.New("its pictures are not in the order of display: it was encoded otherwise")
	}
	p.SetPts(p.Pts() + j.at)
	p.SetDts(p.Pts())
	return j.sink.write(p, j.video, microsecond)
}

// hear writes a packet of sound, if there is still room for it before the segment's end.
func (j *joining) hear(p *astiav.Packet, end int64) error {
	if j.heard >= j.slot(end) {
		return nil
	}
	size := int64(j.sound.CodecParameters().FrameSize())
	p.SetPts(j.heard * size)
	p.SetDts(p.Pts())
	p.SetDuration(size)
	j.heard++
	return j.sink.write(p, j.sound, sample)
}

func (j *joining) begin(in *input) (err error) {
	if in.video.CodecParameters().CodecID() != astiav.CodecIDH264 {
		return fmt.Errorf("its video is %s and not H.264", in.video.CodecParameters().CodecID().Name())
	}
	if j.video, err = j.sink.add(in.video.CodecParameters().Copy, microsecond); err != nil {
		return err
	}
	if in.audio != nil {
		if p := in.audio.CodecParameters(); p.SampleRate() != soundRate || p.FrameSize() == 0 {
			return fmt.Errorf("its sound has %d samples a second and not %d", p.SampleRate(), soundRate)
		}
		if j.sound, err = j.sink.add(in.audio.CodecParameters().Copy, sample); err != nil {
			return err
		}
	}
	return j.sink.begin(map[string]string{
		"movflags": "+faststart", "use_editlist": "0", "video_track_timescale": "1000000",
	})
}

// same refuses a segment that does not continue those before: players would show garbage, or nothing.
func (j *joining) same(in *input) error {
	v, w := j.video.CodecParameters(), in.video.CodecParameters()
	switch {
	case w.CodecID() != v.CodecID():
		return fmt.Errorf("its video is %s, that of those before %s", w.CodecID().Name(), v.CodecID().Name())
	case w.Width() != v.Width() || w.Height() != v.Height():
		return fmt.Errorf("its video is %dx%d, that of those before %dx%d", w.Width(), w.Height(), v.Width(), v.Height())
	case !bytes.Equal(w.ExtraData(), v.ExtraData()):
		return errors.New("its video was encoded with another setting than those before (H.264 parameter sets differ): encode all with one version")
	case (in.audio == nil) != (j.sound == nil):
		return errors.New("either all have sound, or none")
	case in.audio == nil:
		return nil
	}
	a, b := j.sound.CodecParameters(), in.audio.CodecParameters()
	if b.CodecID() != a.CodecID() || b.SampleRate() != a.SampleRate() || !b.ChannelLayout().Equal(a.ChannelLayout()) ||
		!bytes.Equal(b.ExtraData(), a.ExtraData()) {
		return errors.New("its sound was encoded with another setting than those before: encode all with one version")
	}
	return nil
}

func (j *joining) close() {
	if j.sink != nil {
		j.sink.close()
	}
}
