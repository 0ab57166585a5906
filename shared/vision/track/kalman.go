package track

import "math"

// The state of a track is where the middle of its box is and how it moves, and how large the box is. The four axes are filtered
// apart: their noises are independent, so one filter for all of them would have a block for each and nothing between, and this is
// the same in fewer numbers. Lengths are in heights of the picture, times in seconds.

// An axis is a Kalman filter for a place that moves at a nearly constant speed.
type axis struct {
	At    float64    `json:"at"`
	Speed float64    `json:"speed"`
	Var   [3]float64 `json:"var"` // variances of place and place with speed and speed
}

// predict moves the axis on. Noise is the spectral density of the acceleration that it does not know of.
func (a axis) predict(dt, noise float64) axis {
	p := a.Var
	a.At += a.Speed * dt
	a.Var = [3]float64{
		p[0] + 2*dt*p[1] + dt*dt*p[2] + noise*dt*dt*dt/3,
		p[1] + dt*p[2] + noise*dt*dt/2,
		p[2] + noise*dt,
	}
	return a
}

// update takes in a measurement with its variance.
func (a axis) update(at, variance float64) axis {
	p := a.Var
	s := p[0] + variance
	k0, k1 := p[0]/s, p[1]/s
	off := at - a.At
	a.At += k0 * off
	a.Speed += k1 * off
	a.Var = [3]float64{p[0] * (1 - k0), p[1] * (1 - k0), p[2] - k1*p[1]}
	return a
}

// A level is a Kalman filter for a size, as its logarithm: sizes change by proportion and are never negative.
type level struct {
	Log float64 `json:"log"`
	Var float64 `json:"var"`
}

// predict lets the level drift. Noise is the variance it gains in a second.
func (l level) predict(dt, noise float64) level {
	l.Var += noise * dt
	return l
}

func (l level) update(size, variance float64) level {
	k := l.Var / (l.Var + variance)
	l.Log += k * (math.Log(size) - l.Log)
	l.Var *= 1 - k
	return l
}

func (l level) size() float64 { return math.Exp(l.Log) }
