// Command detect is the function of that name: see package detect.
package main

import (
	"context"

	"vedette.dev/functions/detect"
	"vedette.dev/functions/detect/native"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

type config struct {
	detect.Config
	Store store.Config
}

func main() {
	var c config
	function.Main("detect", &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
		d, err := depot.Open(rt, c.Store)
		if err != nil {
			return nil, err
		}
		networks, err := native.Load(c.Config, rt.Metrics)
		if err != nil {
			return nil, err
		}
		f := &detect.Function{
			Config:  c.Config,
			Ledger:  d.Ledger,
			Media:   d.Sides,
			Reader:  networks.Pictures(),
			Persons: networks.Persons,
			Faces:   networks.Faces,
			Models:  networks.Models,
			Out:     rt.Sink,
			Alone:   rt.Alone,
		}
		rt.Plain("image/*", f.Look(networks.Pictures()))
		return f, nil
	})
}
