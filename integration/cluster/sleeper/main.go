// Sleeper is a subscriber who takes a minute over each event. It prints one line when an event comes and one when it
// answers; GET / says that it is there.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

const nap = time.Minute

func main() {
	http.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Ce-Type") + " " + r.Header.Get("Ce-Id")
		fmt.Println("took", id)
		select {
		case <-time.After(nap):
			fmt.Println("answered", id)
		case <-r.Context().Done():
			fmt.Println("left", id)
		}
	})
	server := http.Server{Addr: ":8080", ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
