// Command split is the function of that name: see package split.
package main

import (
	"context"

	"vedette.dev/functions/split"
	"vedette.dev/functions/split/ffmpeg"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

type config struct {
	split.Config
	Store store.Config
}

func main() {
	var c config
	function.Main("split", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c.Store)
		return &split.Function{
			Config: c.Config,
			Ledger: d.Ledger,
			Clips:  d.Clips,
			Cutter: ffmpeg.Cutter{},
			Out:    rt.Sink,
			Alone:  rt.Alone,
		}, err
	})
}
