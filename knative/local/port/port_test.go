package port

import (
	"net"
	"strconv"
	"testing"
)

func TestFree(t *testing.T) {
	given := map[int]bool{}
	for range 100 {
		port, err := Free("127.0.0.1", func(port int) bool { return given[port] })
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Fatalf("port %d was given twice", port)
		}
		given[port] = true
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatalf("port %d is not free: %v", port, err)
		}
		defer func() { _ = l.Close() }()
	}
}

func TestFreeSaysWhenThereIsNone(t *testing.T) {
	if port, err := Free("127.0.0.1", func(int) bool { return true }); err == nil {
		t.Errorf("got %d", port)
	}
}
