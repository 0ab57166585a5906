// Command decode is the function of that name: see package decode.
package main

import (
	"context"

	"vedette.dev/functions/decode"
	"vedette.dev/functions/decode/ffmpeg"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

type config struct {
	decode.Config
	Store store.Config
}

func main() {
	var c config
	function.Main("decode", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c.Store)
		return &decode.Function{
			Config:  c.Config,
			Ledger:  d.Ledger,
			Media:   d.Sides,
			Decoder: ffmpeg.Decoder{Threads: c.Threads},
			Out:     rt.Sink,
			Alone:   rt.Alone,
		}, err
	})
}
