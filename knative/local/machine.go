package local

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// Machine is what functions share: processors and memory, in the units of a Service's resource requests.
type Machine struct {
	MilliCPU int64
	Memory   int64 // bytes
}

// ThisMachine is what this machine has.
func ThisMachine() Machine {
	return Machine{MilliCPU: 1000 * int64(runtime.GOMAXPROCS(0)), Memory: availableMemory()}
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

// room is what is left of a machine. As a cluster's scheduler does, it counts what instances request, not what they use;
// unlike it, it always admits the first instance of a function, since a topology of which one function never runs
// stands still.
type room struct {
	mu   sync.Mutex
	free Machine
}

// first takes room for the first instance of a function, whether or not there is any.
func (r *room) first(need Machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(need)
}

// further takes room for one more instance, if there is any.
func (r *room) further(need Machine) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free.MilliCPU < need.MilliCPU || r.free.Memory < need.Memory {
		return false
	}
	r.take(need)
	return true
}

func (r *room) leave(need Machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(Machine{MilliCPU: -need.MilliCPU, Memory: -need.Memory})
}

func (r *room) take(need Machine) {
	r.free.MilliCPU -= need.MilliCPU
	r.free.Memory -= need.Memory
}
