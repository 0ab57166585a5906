package decode

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
)

// The gate says whether anything moves in a segment, and when. It is a pure function of the segment's bytes: nothing of
// its neighbours, of the time it runs at or of the machine it runs on enters.
//
//  1. It looks at the pictures of the first second. If nothing moves there, the sizes of the packets in that second are
//     what stillness costs this encoder here. Where the sizes tell (frames between keyframes are small against keyframes,
//     which is not so with intra-only codecs and an encoder that fills a constant rate) and no stretch of the rest costs
//     noticeably more: quiet, by packets alone, and nothing else is decoded.
//  2. Otherwise it looks at the pictures that are sampled, all of them: the segment is active if something moves.
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
	// Look yields LookRate pictures a second, at most LookWidth by LookHeight, before the time untilUS.
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

// still is the gate's first step. It is sure only of quiet; score is how much speaks against that, 1 being the threshold.
func still(ctx context.Context, v Video, startUS, endUS int64) (score float64, sure bool, err error) {
	firstLook := startUS + firstLookUS
	if endUS <= firstLook {
		return 0, false, nil // so short that all of it is looked at
	}
	pictures, err := v.Look(ctx, firstLook)
	if err != nil {
		return 0, false, err
	}
	defer pictures.Close()
	var m motion
	for {
		p, err := pictures.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, false, err
		}
		m.see(p)
	}
	if m.score() >= 1 {
		return m.score(), false, nil
	}
	packets, err := v.Packets(ctx)
	if err != nil {
		return 0, false, err
	}
	width, height := v.Size()
	score, tell := suspicion(packets, startUS, width*height)
	return score, tell && score < 1, nil
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
