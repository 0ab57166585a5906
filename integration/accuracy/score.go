package main

import (
	"maps"
	"slices"

	"vedette.dev/shared/vision"
)

// label is where somebody really is at a time.
type label struct {
	us     int64
	who    int
	box    vision.Box
	tall   float64 // height, as a fraction of the picture's
	wide   float64 // width, px
	hidden float64 // how much of it is outside or behind others
}

// score compares what was seen with what was there, frame by frame and over time.
type score struct {
	labels   int
	found    int // labels with a sighting
	seen     int // sightings
	strange  int // sightings without a label
	switches int // times that somebody goes on under another number
	together int // pairs of label and sighting under the assignment of numbers to people that is best over all time
}

func (s score) recall() float64 { return ratio(s.found, s.labels) }

func (s score) precision() float64 { return ratio(s.seen-s.strange, s.seen) }

// idf1 is how much of what was there and of what was seen belongs together if each person has one number.
func (s score) idf1() float64 { return ratio(2*s.together, s.labels+s.seen) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

func (s *score) add(o score) {
	s.labels += o.labels
	s.found += o.found
	s.seen += o.seen
	s.strange += o.strange
	s.switches += o.switches
	s.together += o.together
}

// sameObject is the overlap (IoU) from which a sighting is taken for what was there.
const sameObject = .5

// compare compares one clip's sightings with its labels. Who is to be found is for wanted to say; a sighting of somebody who is not
// wanted (too small to be asked for, say) is neither right nor wrong.
func compare(labels []label, seen []sighting, wanted func(label) bool) score {
	type frame struct {
		labels []label
		seen   []sighting
	}
	frames := map[int64]*frame{}
	at := func(us int64) *frame {
		if frames[us] == nil {
			frames[us] = &frame{}
		}
		return frames[us]
	}
	for _, l := range labels {
		at(l.us).labels = append(at(l.us).labels, l)
	}
	for _, s := range seen {
		at(s.us).seen = append(at(s.us).seen, s)
	}

	var total score
	last := map[int]int{}        // number under which somebody was seen last
	pairs := map[[2]int]int{}    // how often somebody was seen under a number
	people := map[int]struct{}{} // who is wanted
	for _, us := range slices.Sorted(maps.Keys(frames)) {
		f := frames[us]
		costs := make([][]float64, len(f.labels))
		for i, l := range f.labels {
			for _, s := range f.seen {
				cost := vision.Never
				if overlap := vision.IoU(l.box, s.box); overlap >= sameObject {
					cost = 1 - overlap
					if last[l.who] == s.track { // who is followed rather than who is a little nearer
						cost -= 1
					}
				}
				costs[i] = append(costs[i], cost)
			}
		}
		spare := map[int]bool{}
		for j := range f.seen {
			spare[j] = true
		}
		for i, j := range vision.Match(costs, 2) {
			l := f.labels[i]
			if wanted(l) {
				total.labels++
				people[l.who] = struct{}{}
			}
			if j < 0 {
				continue
			}
			delete(spare, j)
			if !wanted(l) {
				continue
			}
			number := f.seen[j].track
			total.found++
			total.seen++
			if last[l.who] != 0 && last[l.who] != number {
				total.switches++
			}
			last[l.who] = number
			pairs[[2]int{l.who, number}]++
		}
		for j := range spare {
			if slices.ContainsFunc(f.labels, func(l label) bool {
				return !wanted(l) && l.box.Intersect(f.seen[j].box).Area() > .3*f.seen[j].box.Area()
			}) {
				continue
			}
			total.seen++
			total.strange++
		}
	}

	// The assignment of numbers to people under which most belongs together.
	numbers := map[int]int{}
	for pair := range pairs {
		if _, ok := numbers[pair[1]]; !ok {
			numbers[pair[1]] = len(numbers)
		}
	}
	var costs [][]float64
	for who := range people {
		row := make([]float64, len(numbers))
		for number, column := range numbers {
			row[column] = -float64(pairs[[2]int{who, number}])
		}
		costs = append(costs, row)
	}
	for i, j := range vision.Match(costs, 0) {
		if j >= 0 {
			total.together -= int(costs[i][j])
		}
	}
	return total
}
