package local

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// Machine is what the functions share.
type Machine struct {
	Cores  int
	Memory int64 // bytes
}

// ThisMachine is what this machine has.
func ThisMachine() Machine {
	return Machine{Cores: runtime.GOMAXPROCS(0), Memory: availableMemory()}
}

// availableMemory is what the kernel says can be had without swapping; if it does not say, there is enough.
func availableMemory() int64 {
	const enough = 1 << 40
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return enough
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kilobytes int64
		if _, err := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return enough
}

// room is the memory that is left for processes. As a cluster's scheduler does, it counts what they request, not what
// they use; unlike it, it always admits the first of a function, since a topology of which one function never runs
// stands still. Processors are not counted: no function gets more processes than there are cores, and by their niceness
// the kernel shares the cores as Kubernetes would.
type room struct {
	mu   sync.Mutex
	free int64 // bytes; below 0 when first ones were admitted without
}

// first takes room for the first process of a function, whether or not there is any.
func (r *room) first(need int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free -= need
}

// further takes room for one more process, if there is any.
func (r *room) further(need int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free < need {
		return false
	}
	r.free -= need
	return true
}

func (r *room) leave(need int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += need
}
