package decode

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
)

// The gate says whether anything moves in a segment. It is a pure function of the segment's bytes: nothing of its
// neighbours, of the time it runs at or of the machine it runs on enters.
//
//  1. It looks at the pictures of the first second. Something moves: active.
//  2. Nothing does. Then the sizes of the packets in that second are what stillness costs this encoder here. Where the
//     sizes tell (frames between keyframes are small against keyframes, which is not so with intra-only codecs and an
//     encoder that fills a constant rate) and no stretch of the rest costs noticeably more: quiet, by packets alone.
//  3. Otherwise it looks at all pictures, until something moves.
//
// It errs on the side of looking: a wrong suspicion costs seconds of a processor, a wrong "quiet" costs a visitor.

// Packet is a compressed picture.
type Packet struct {
	US   int64 // presentation time
	Size int   // bytes
	Key  bool
}

// Picture is a small grey picture to look at.
type Picture struct {
	US            int64
	Width, Height int
	Pix           []byte // Width*Height, row by row; the gate keeps no reference
}

// Pictures yields pictures in order; io.EOF after the last.
type Pictures interface {
	Next() (Picture, error)
	Close() error
}

// Video is a segment to be judged.
type Video interface {
	Packets(ctx context.Context) ([]Packet, error)
	// Look yields the pictures nearest to a grid of lookRate a second, at most lookWidth wide, before the time untilUS.
	Look(ctx context.Context, untilUS int64) (Pictures, error)
	// Size is that of the displayed picture, in pixels.
	Size() (width, height int)
}

const (
	// LookRate is how many pictures a second the gate looks at.
	LookRate = 5
	// LookWidth and LookHeight bound the pictures that the gate looks at.
	LookWidth, LookHeight = 320, 180

	firstLookUS = 1_000_000

	// tellingRatio is how many times a keyframe must outweigh a frame between, so that sizes tell.
	tellingRatio = 6
	// stretch is the time over which packet sizes are averaged.
	stretchUS = 500_000
	// excess is by how much a stretch may cost more than stillness before it is suspicious, and noise how many standard
	// deviations of the mean.
	excess, noiseBound = .10, 6.
	// floorShare of the picture's pixels, in bytes, is what a stretch must cost more in any case: where stillness costs
	// next to nothing, doubling it means nothing. A person of a tenth of the picture's height costs more in motion.
	floorShare = 1. / 5000
)

// Verdict is the gate's.
type Verdict struct {
	Active bool
	Rule   string  // "packets" or "pictures"
	Score  float64 // 1 is the threshold
}

// Gate judges the segment from startUS to endUS.
func Gate(ctx context.Context, v Video, startUS, endUS int64) (Verdict, error) {
	var m motion
	first, err := look(ctx, v, min(startUS+firstLookUS, endUS), &m)
	if err != nil || first >= 1 || startUS+firstLookUS >= endUS {
		return Verdict{Active: first >= 1, Rule: "pictures", Score: first}, err
	}
	packets, err := v.Packets(ctx)
	if err != nil {
		return Verdict{}, err
	}
	width, height := v.Size()
	if suspicion, tell := suspicion(packets, startUS, width*height); tell && suspicion < 1 {
		return Verdict{Rule: "packets", Score: suspicion}, nil
	}
	m = motion{}
	all, err := look(ctx, v, endUS, &m)
	return Verdict{Active: all >= 1, Rule: "pictures", Score: all}, err
}

// suspicion compares what the frames after the first second cost with what those in it did; 1 is the threshold. It says
// false where sizes do not tell.
func suspicion(packets []Packet, startUS int64, pixels int) (float64, bool) {
	var keys, between, still []float64
	packets = slices.Clone(packets)
	slices.SortFunc(packets, func(a, b Packet) int { return int(a.US - b.US) })
	for _, p := range packets {
		if p.Key {
			keys = append(keys, float64(p.Size))
			continue
		}
		between = append(between, float64(p.Size))
		if p.US < startUS+firstLookUS {
			still = append(still, float64(p.Size))
		}
	}
	if len(keys) == 0 || len(still) < 3 || median(between)*tellingRatio > median(keys) {
		return 0, false
	}
	calm, deviation := meanAndDeviation(still)
	worst := 0.
	for i := range packets {
		var sum float64
		n := 0
		for _, p := range packets[i:] {
			if p.US >= packets[i].US+stretchUS {
				break
			}
			if !p.Key {
				sum += float64(p.Size)
				n++
			}
		}
		if n == 0 {
			continue
		}
		allowed := max(excess*calm, noiseBound*deviation/math.Sqrt(float64(n)), floorShare*float64(pixels))
		worst = max(worst, (sum/float64(n)-calm)/allowed)
	}
	return worst, true
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func meanAndDeviation(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(values)))
}

// look shows the pictures before untilUS to m, until it has seen enough, and returns its score.
func look(ctx context.Context, v Video, untilUS int64, m *motion) (float64, error) {
	pictures, err := v.Look(ctx, untilUS)
	if err != nil {
		return 0, err
	}
	defer pictures.Close()
	score := 0.
	for score < 1 {
		p, err := pictures.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		score = max(score, m.see(p))
	}
	return score, nil
}
