package function

import (
	"syscall"
	"time"
)

// Cost is what a piece of work took.
type Cost struct {
	CPUSeconds  float64 `json:"cpu_seconds"`
	WallSeconds float64 `json:"wall_seconds"`
}

// Stopwatch measures a piece of work: it runs from Start until Cost is read, as often as wanted. CPU seconds are those of
// the whole process, native threads included, so they are the work's own only where requests come one at a time.
type Stopwatch struct {
	began time.Time
	cpu   time.Duration
}

// Start starts a stopwatch.
func Start() Stopwatch {
	return Stopwatch{began: time.Now(), cpu: CPU()}
}

// Cost returns what was spent since Start.
func (s Stopwatch) Cost() Cost {
	return Cost{
		CPUSeconds:  (CPU() - s.cpu).Seconds(),
		WallSeconds: time.Since(s.began).Seconds(),
	}
}

// CPU is the processor time this process has used, in user and system mode, by all its threads.
func CPU() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0 // cannot happen for RUSAGE_SELF
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
