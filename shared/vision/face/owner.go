package face

import (
	"vedette.dev/shared/vision"
)

// Owners says for each face whose head it is: the index of the person, or -1. A face belongs to a person if its middle lies in the
// head part of the person's box; each person has one face at most, and where people overlap, the pairing is the one that puts
// faces nearest to where heads are. All boxes are in one unit, and that unit is square: pixels, not fractions.
func Owners(faces, persons []vision.Box) []int {
	cost := make([][]float64, len(faces))
	for i, f := range faces {
		cost[i] = make([]float64, len(persons))
		for j, p := range persons {
			cost[i][j] = headCost(f, p)
		}
	}
	if len(persons) == 0 {
		none := make([]int, len(faces))
		for i := range none {
			none[i] = -1
		}
		return none
	}
	const strange = 10 // more than any head's cost: every face that has a head to go on goes on one
	return vision.Match(cost, strange)
}

// InHead says whether a face's middle lies in the head part of a person.
func InHead(f, person vision.Box) bool { return headCost(f, person) != vision.Never }

// headCost is how far a face is from where the head of that person should be, in widths of the person. The head part is the upper part of
// the box, as deep as the box is wide (a whole person is about two and a half times as high) but always two fifths of it, and
// a little wider than the box: a leaning head leaves it.
func headCost(f, p vision.Box) float64 {
	if p.W <= 0 || p.H <= 0 {
		return vision.Never
	}
	depth := min(max(p.W, .4*p.H), .7*p.H)
	head := vision.Box{X: p.X - .1*p.W, Y: p.Y - .05*p.H, W: 1.2 * p.W, H: depth + .05*p.H}
	c := f.Center()
	if !head.Contains(c) || f.W > 1.1*p.W || f.H > .8*p.H {
		return vision.Never
	}
	expected := vision.Point{X: p.X + p.W/2, Y: p.Y + .6*f.H}
	return c.Distance(expected) / p.W
}
