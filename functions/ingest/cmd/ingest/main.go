// Command ingest is the function of that name: see package ingest.
package main

import (
	"context"

	"vedette.dev/functions/ingest"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

func main() {
	var c store.Config
	function.Main("ingest", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c)
		f := &ingest.Function{Bucket: c.Clips, Ledger: d.Ledger, Objects: d.Clips, Out: rt.Sink, Log: rt.Log}
		rt.Plain("application/json", f.Webhook(rt.Available))
		return f, err
	})
}
