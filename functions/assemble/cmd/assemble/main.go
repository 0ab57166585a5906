// Command assemble is the function of that name: see package assemble.
package main

import (
	"context"

	"vedette.dev/functions/assemble"
	"vedette.dev/functions/assemble/ffmpeg"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

func main() {
	var c store.Config
	function.Main("assemble", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c)
		return &assemble.Function{
			Ledger: d.Ledger,
			Media:  d.Sides,
			Joiner: ffmpeg.Joiner{},
			Out:    rt.Sink,
			Alone:  rt.Alone,
		}, err
	})
}
