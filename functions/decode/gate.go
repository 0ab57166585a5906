package decode

import (
	"cmp"
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
//     what stillness costs this encoder here. Where the sizes tell (frames between keyframes are small against keyframes
//     and cost next to nothing, which is not so with intra-only codecs, an encoder that fills a constant rate, and much
//     noise) and no stretch of the rest costs noticeably more: quiet, by packets alone, and nothing else is decoded.
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

	// Sizes are looked at over stretches so long, or of so many frames where these are few.
	stretchUS, stretchFrames = 500_000, 8
)

// A measure says what a stretch costs. Shares are of the picture's pixels, in bytes a frame.
type measure struct {
	of     func(sizes []int) float64 // ascending
	most   float64                   // share that stillness may cost; more is noise or a rate that is filled, in which somebody small is lost
	excess float64                   // how much more than stillness is suspicious, as a part of that,
	floor  float64                   // and as a share: doubling next to nothing means nothing
}

// Where nothing moves encoders spend next to nothing on most frames, and the rest on few; where somebody walks every frame
// costs something. So the cheaper half tells best. But a camera may send every other frame empty, so all are weighed too.
func measures() []measure {
	return []measure{
		{of: cheaperHalf, most: 1. / 1000, excess: .3, floor: 1. / 10_000},
		{of: mean, most: 1. / 200, excess: 1, floor: 1. / 5000},
	}
}

// still is the gate's first step. It is sure only of quiet; score is how much speaks against that, 1 being the threshold.
func still(ctx context.Context, v Video, startUS, endUS int64) (score float64, sure bool, err error) {
	firstLook := startUS + firstLookUS
	if endUS <= firstLook {
		return 0, false, nil // so short that all of it is looked at
	}
	// What costs nothing comes first: where the sizes do not say that the rest is as calm as the first second, there is no
	// need to know how calm that is.
	packets, err := v.Packets(ctx)
	if err != nil {
		return 0, false, err
	}
	width, height := v.Size()
	score, tell := suspicion(packets, startUS, width*height)
	if !tell || score >= 1 {
		return score, false, nil
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
	return score, true, nil
}

// suspicion compares what the frames after the first second cost with what those in it did, and with the cheapest stretch
// before in the same run from keyframe to keyframe, since a run is dear at first while the encoder refines its picture; 1 is the
// threshold. It says false where sizes do not tell.
func suspicion(packets []Packet, startUS int64, pixels int) (float64, bool) {
	packets = slices.SortedFunc(slices.Values(packets), func(a, b Packet) int { return cmp.Compare(a.US, b.US) })
	var keys, between []int
	var runs [][]Packet
	for _, p := range packets {
		if p.Key || len(runs) == 0 {
			runs = append(runs, nil)
		}
		if p.Key {
			keys = append(keys, p.Size)
			continue
		}
		between = append(between, p.Size)
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	if len(keys) == 0 || len(between) == 0 || tellingRatio*median(between) > median(keys) {
		return 0, false
	}
	apart := (packets[len(packets)-1].US - packets[0].US) / int64(len(packets)-1)
	n := max(stretchFrames, int(stretchUS/max(apart, 1)))
	worst := 0.
	for _, m := range measures() {
		score, tells := m.worst(runs, n, startUS+firstLookUS, float64(pixels))
		if !tells {
			return 0, false
		}
		worst = max(worst, score)
	}
	return worst, true
}

// worst is by how much the dearest stretch of n frames costs more than stillness; 1 is the threshold. What comes before
// lookedUS is stillness. It says false where there is none to compare with, or it costs too much itself.
func (m measure) worst(runs [][]Packet, n int, lookedUS int64, pixels float64) (float64, bool) {
	calm, worst := -1., 0. // calm is the dearest of the stretches that were looked at
	for _, run := range runs {
		cheapest := math.Inf(1) // stretch of this run that ended before the one at hand
		costs := []float64{}
		for i := 0; i < max(1, len(run)-n+1); i++ {
			stretch := run[i:min(i+n, len(run))]
			if len(stretch) < 2 {
				break
			}
			cost := m.of(sizes(stretch))
			costs = append(costs, cost)
			if stretch[len(stretch)-1].US < lookedUS {
				calm, cheapest = max(calm, cost), min(cheapest, cost)
				continue
			}
			if calm < 0 {
				return 0, false
			}
			if i >= n {
				cheapest = min(cheapest, costs[i-n])
			}
			still := cheapest
			if math.IsInf(still, 1) {
				still = calm
			}
			worst = max(worst, (cost-still)/max(m.excess*still, m.floor*pixels))
		}
	}
	return worst, calm >= 0 && calm <= m.most*pixels
}

// sizes of packets, ascending.
func sizes(packets []Packet) []int {
	all := make([]int, len(packets))
	for i, p := range packets {
		all[i] = p.Size
	}
	slices.Sort(all)
	return all
}

func cheaperHalf(sizes []int) float64 { return mean(sizes[:len(sizes)/2]) }

func mean(sizes []int) float64 {
	sum := 0
	for _, s := range sizes {
		sum += s
	}
	return float64(sum) / float64(len(sizes))
}

func median(values []int) int {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
