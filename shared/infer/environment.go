package infer

import (
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// environment is ONNX Runtime's own: there is one per process whether one likes it or not, so it is the one variable here.
var environment runtimeEnvironment

// A runtimeEnvironment loads the library once and never lets go of it: unloading a library whose threads may still run gains nothing.
type runtimeEnvironment struct {
	mu      sync.Mutex
	library string // what was loaded
}

func (e *runtimeEnvironment) open(library string) error {
	if library == "" {
		library = "libonnxruntime.so.1"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.library == library {
		return nil
	}
	if e.library != "" {
		return fmt.Errorf("infer: ONNX Runtime is already loaded from %s; one process cannot load %s as well", e.library, library)
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("infer: ONNX Runtime is missing or unfit: run scripts/setup, or set VEDETTE_ONNXRUNTIME to the path of libonnxruntime.so: %w", err)
	}
	e.library = library
	return nil
}
