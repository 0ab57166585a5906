package media

import (
	"slices"

	"github.com/asticode/go-astiav"
)

// clock gives the packets of one segment decoding times that a muxer takes: strictly increasing, none after its
// presentation time. Those of the container are kept if they are like that. Otherwise, and where the container has none
// of its own (FFmpeg's guesses then depend on where reading began), they are made of the presentation times, so that a
// segment is the same whatever was read before it.
type clock struct {
	remake bool
	depth  int     // how many pictures are decoded before they are shown
	step   int64   // usual distance of two pictures
	shown  []int64 // presentation times still to be given out, sorted
	given  int
	last   int64
}

// newClock looks at the packets that a segment begins with, in decoding order.
func newClock(packets []*astiav.Packet, base astiav.Rational, untrusted bool) *clock {
	c := &clock{remake: untrusted}
	var sorted []int64
	last := int64(astiav.NoPtsValue)
	maxLead := rescale(maxGap, microsecond, base)
	for _, p := range packets {
		if p.Dts() == astiav.NoPtsValue || p.Dts() > p.Pts() || p.Pts()-p.Dts() > maxLead || last != astiav.NoPtsValue && p.Dts() <= last {
			c.remake = true
		}
		last = p.Dts()
		i, _ := slices.BinarySearch(sorted, p.Pts())
		c.depth = max(c.depth, len(sorted)-i)
		sorted = slices.Insert(sorted, i, p.Pts())
	}
	if n := len(sorted); n > 1 {
		c.step = (sorted[n-1] - sorted[0]) / int64(n-1)
	}
	c.step = max(1, c.step)
	if len(sorted) > 0 {
		c.last = sorted[0] - int64(c.depth+1)*c.step
	}
	return c
}

// set gives the next packet in decoding order its times.
func (c *clock) set(p *astiav.Packet) {
	dts := p.Dts()
	if c.remake {
		i, _ := slices.BinarySearch(c.shown, p.Pts())
		c.shown = slices.Insert(c.shown, i, p.Pts())
		if c.given < c.depth {
			dts = c.last + c.step
		} else {
			dts = c.shown[0]
			c.shown = c.shown[1:]
		}
	}
	if c.given > 0 && dts <= c.last {
		dts = c.last + 1
	}
	c.given++
	c.last = dts
	p.SetDts(dts)
	p.SetPts(max(p.Pts(), dts))
}
