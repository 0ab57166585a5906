package decode

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// stream is the packets of an encoder at 25 frames a second.
type stream struct {
	seconds  float64
	gop      int     // frames from keyframe to keyframe
	key      float64 // size of a keyframe
	between  float64 // size of a frame between
	scatter  float64 // standard deviation of the sizes, as a part of them
	extra    func(s float64) float64
	reorder  bool // B-frames: smaller by half, and out of order
	startUS  int64
	variable bool // frames come when they want
	doubled  bool // every other frame is the one before
}

func (c stream) packets() []Packet {
	r := rand.New(rand.NewPCG(7, 8))
	var packets []Packet
	for i := range int(c.seconds * 25) {
		s := float64(i) / 25
		if c.variable {
			s += r.Float64() / 30
		}
		size := c.between
		if c.reorder && i%3 != 0 {
			size /= 2
		}
		if c.extra != nil {
			size += c.extra(s)
		}
		if c.doubled && i%2 == 1 {
			size = 40
		}
		key := i%c.gop == 0
		if key {
			size = c.key
		}
		size *= 1 + c.scatter*r.NormFloat64()
		packets = append(packets, Packet{US: c.startUS + int64(s*1e6), Size: int(max(size, 20)), Key: key})
	}
	if c.reorder { // decoding order: who is shown last of three comes first
		for i := 1; i+2 < len(packets); i += 3 {
			packets[i], packets[i+1], packets[i+2] = packets[i+2], packets[i], packets[i+1]
		}
	}
	return packets
}

// burst adds so many bytes to each frame between two times.
func burst(from, to, bytes float64) func(float64) float64 {
	return func(s float64) float64 {
		if s >= from && s < to {
			return bytes
		}
		return 0
	}
}

func TestSuspicion(t *testing.T) {
	const pixels = 1920 * 1080
	still := stream{seconds: 10, gop: 50, key: 200e3, between: 1.5e3, scatter: .1}
	with := func(change func(*stream)) stream {
		c := still
		change(&c)
		return c
	}
	for _, c := range []struct {
		name      string
		stream    stream
		tells     bool
		suspicion bool
	}{
		{"still", still, true, false},
		{"still, later in the clip", with(func(c *stream) { c.startUS = 3600e6 }), true, false},
		{"still, one keyframe", with(func(c *stream) { c.gop = 1000 }), true, false},
		{"still, sizes scatter", with(func(c *stream) { c.scatter = .15 }), true, false},
		{"still, B-frames", with(func(c *stream) { c.reorder = true }), true, false},
		{"still, variable frame rate", with(func(c *stream) { c.variable = true }), true, false},
		{"still, next to nothing between", with(func(c *stream) { c.between = 40 }), true, false},
		{"somebody walks", with(func(c *stream) { c.extra = burst(4, 8, 3000) }), true, true},
		{"somebody far off walks", with(func(c *stream) { c.extra = burst(4, 8, 700) }), true, true},
		{"somebody walks from the second second on", with(func(c *stream) { c.extra = burst(1, 10, 700) }), true, true},
		{"somebody walks, one keyframe", with(func(c *stream) { c.gop, c.extra = 1000, burst(1, 10, 700) }), true, true},
		{"still, dear at first", with(func(c *stream) { c.gop, c.extra = 1000, fading(600) }), true, false},
		{"somebody walks after it was dear at first", with(func(c *stream) {
			c.gop, c.extra = 1000, func(s float64) float64 { return fading(600)(s) + burst(4, 8, 1000)(s) }
		}), true, true},
		{"every other frame is empty", with(func(c *stream) { c.doubled = true }), true, false},
		{"somebody walks, every other frame is empty", with(func(c *stream) { c.doubled, c.extra = true, burst(4, 8, 3000) }), true, true},
		{"somebody passes", with(func(c *stream) { c.extra = burst(7, 7.6, 2000) }), true, true},
		{"somebody comes at the end", with(func(c *stream) { c.extra = burst(9.6, 10, 2000) }), true, true},
		{"somebody walks, B-frames", with(func(c *stream) { c.reorder, c.extra = true, burst(4, 8, 3000) }), true, true},
		{"somebody walks where stillness costs nothing", with(func(c *stream) { c.between, c.extra = 40, burst(4, 8, 700) }), true, true},
		{"intra only", with(func(c *stream) { c.gop = 1 }), false, false},
		{"a constant rate is filled", with(func(c *stream) { c.between = 60e3 }), false, false},
		{"noise costs as much as the picture", with(func(c *stream) { c.between = 150e3 }), false, false},
		{"a picture a second", stream{seconds: 1, gop: 50, key: 200e3, between: 1.5e3}, true, false},
		{"nothing", stream{gop: 1}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			packets := c.stream.packets()
			before := slices.Clone(packets)
			score, tells := suspicion(packets, c.stream.startUS, pixels)
			if tells != c.tells || score >= 1 != c.suspicion {
				t.Errorf("%.2f, tells: %v", score, tells)
			}
			if !slices.Equal(before, packets) {
				t.Error("the packets came back in another order")
			}
		})
	}
}

// fading adds what an encoder spends on refining its picture at first.
func fading(bytes float64) func(float64) float64 {
	return func(s float64) float64 { return bytes * math.Exp(-s) }
}

// video is a segment made of a place and a stream.
type video struct {
	place
	stream
	endUS  int64
	looks  []int64 // until when was looked
	broken error
}

func (v *video) Packets(context.Context) ([]Packet, error) { return v.packets(), v.broken }

func (v *video) Size() (int, int) { return 1920, 1080 }

func (v *video) Look(_ context.Context, untilUS int64) (Pictures, error) {
	v.looks = append(v.looks, untilUS)
	return &pictures{of: v, r: rand.New(rand.NewPCG(1, 2)), untilUS: untilUS, rate: LookRate}, nil
}

type pictures struct {
	of      *video
	r       *rand.Rand
	untilUS int64
	rate    float64
	next    int
	closed  bool
}

func (p *pictures) Next() (Picture, error) {
	s := float64(p.of.startUS)/1e6 + float64(p.next)/p.rate
	if p.closed || int64(s*1e6) >= p.untilUS {
		return Picture{}, io.EOF
	}
	p.next++
	return p.of.picture(p.r, s), nil
}

func (p *pictures) Close() error {
	p.closed = true
	return nil
}

func TestStill(t *testing.T) {
	calm := stream{seconds: 10, gop: 50, key: 200e3, between: 1.5e3, scatter: .1}
	telling := calm
	telling.extra = burst(4, 8, 3000)
	silent := calm
	silent.gop = 1
	for _, c := range []struct {
		name  string
		video video
		endUS int64
		sure  bool
	}{
		{"nothing moves", video{place: place{noise: 3}, stream: calm}, 10e6, true},
		{"it moves at once", video{place: place{noise: 3, grey: 30, walker: walks(60, .5)}, stream: calm}, 10e6, false},
		{"the packets grow", video{place: place{noise: 3}, stream: telling}, 10e6, false},
		{"the packets say nothing", video{place: place{noise: 3}, stream: silent}, 10e6, false},
		{"too short to bother", video{place: place{noise: 3}, stream: calm}, 1e6, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, sure, err := still(t.Context(), &c.video, c.video.startUS, c.endUS)
			if err != nil || sure != c.sure {
				t.Errorf("sure of quiet: %v (%v)", sure, err)
			}
			for _, until := range c.video.looks {
				if until != c.video.startUS+1e6 {
					t.Errorf("looked until %d µs", until)
				}
			}
		})
	}
	broken := errors.New("broken")
	if _, sure, err := still(t.Context(), &video{stream: calm, broken: broken}, 0, 10e6); sure || !errors.Is(err, broken) {
		t.Errorf("a broken file: %v, sure of quiet: %v", err, sure)
	}
}
