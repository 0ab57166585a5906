// Command encode is the function of that name: see package encode.
package main

import (
	"context"

	"vedette.dev/functions/encode"
	"vedette.dev/functions/encode/ffmpeg"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

type config struct {
	encode.Config
	Store store.Config
}

func main() {
	var c config
	function.Main("encode", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c.Store)
		return &encode.Function{
			Config:  c.Config,
			Ledger:  d.Ledger,
			Media:   d.Sides,
			Encoder: ffmpeg.Encoder{Threads: c.Threads},
			Out:     rt.Sink,
			Alone:   rt.Alone,
		}, err
	})
}
