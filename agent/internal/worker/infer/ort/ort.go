//go:build cgo

// Package ort runs models with ONNX Runtime: the one place that speaks to it.
package ort

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
)

// Needed is the oldest ONNX Runtime with the interface that this build speaks.
const Needed = "1.24"

// Environment names the variable with the library's path.
const Environment = "SIGHTLINE_ONNXRUNTIME"

const defaultLibrary = "libonnxruntime.so.1"

// remedy is what the operator does about a library that is absent or wrong.
const remedy = "run scripts/setup and `source build/env.sh`, or set worker.onnxruntime or $" + Environment +
	" to a libonnxruntime.so of " + Needed + " or newer"

// ErrLibrary is wrapped by errors about the shared library.
var ErrLibrary = errors.New("ONNX Runtime does not load")

// Runtime is the loaded library. A process has one at most. Safe for concurrent use.
type Runtime struct {
	version string
	path    string
	store   func() (*engines.Store, error) // nil: no engines are kept
	opened  atomic.Pointer[engines.Store]  // what store returned
	log     *slog.Logger
}

// Load opens the shared library: path, else $SIGHTLINE_ONNXRUNTIME, else the system's.
func Load(path string) (*Runtime, error) {
	path = firstSet(path, os.Getenv(Environment), defaultLibrary)
	if strings.ContainsRune(path, '/') {
		//nolint:gosec // the path is the operator's own configuration
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return nil, fmt.Errorf("%w: there is no file %s: %s", ErrLibrary, path, remedy)
		}
	}
	onnx.SetSharedLibraryPath(path)
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelFatal()); err != nil {
		return nil, fmt.Errorf("%w: %s: %s: %s", ErrLibrary, path, explain(err), remedy)
	}
	return &Runtime{version: onnx.GetVersion(), path: path}, nil
}

// Version of the library, such as 1.24.1.
func (r *Runtime) Version() string { return r.version }

// Close unloads the library. All runners are closed before.
func (r *Runtime) Close() error {
	if err := undisturbed(onnx.DestroyEnvironment); err != nil {
		return fmt.Errorf("unload ONNX Runtime: %w", err)
	}
	if store := r.opened.Load(); store != nil {
		return store.Close()
	}
	return nil
}

func explain(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "setting ORT API base"):
		return "it is older than " + Needed
	case strings.Contains(text, "looking up OrtGetApiBase"):
		return "it is a library, but not ONNX Runtime"
	default:
		return "it cannot be loaded: " + text
	}
}

func firstSet(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
