// Command reconcile is the function of that name: see package reconcile.
package main

import (
	"context"

	"vedette.dev/functions/reconcile"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

type config struct {
	reconcile.Config
	Store store.Config
}

func main() {
	var c config
	function.Main("reconcile", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c.Store)
		return &reconcile.Function{
			Config: c.Config,
			Bucket: c.Store.Clips,
			Clips:  d.Store.Bucket(c.Store.Clips),
			Ledger: d.Ledger,
			Out:    rt.Sink,
			Log:    rt.Log,
		}, err
	})
}
