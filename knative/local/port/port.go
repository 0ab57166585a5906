// Package port finds TCP ports for servers that cannot be handed a listener: programs of their own, and libraries that
// listen themselves.
//
// Out comes a port that nobody listened on a moment ago. The kernel gives connections that go out, and listeners on port
// 0, ports above [below]; by staying below, a port that was found stays free until somebody else asks for it by number.
package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range ports are taken from: above the well-known and usual ones, below the kernel's own (32768 by default).
const (
	above = 20000
	below = 30000
)

// Free finds a free port on a host, other than those that taken says are.
func Free(host string, taken func(port int) bool) (int, error) {
	first := rand.IntN(below - above) //nolint:gosec // no secret: so that two processes seldom meet
	for i := range below - above {
		port := above + (first+i)%(below-above)
		if taken(port) {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if l.Close() == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port on " + host)
}
