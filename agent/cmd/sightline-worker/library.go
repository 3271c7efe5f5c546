//go:build cgo

package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/ort"
)

// Where TensorRT's engines are kept from one start to the next, and how many MiB of them.
const (
	enginesVariable = "SIGHTLINE_ENGINES" // a folder, or off
	sizeVariable    = "SIGHTLINE_ENGINES_MIB"
	enginesOff      = "off"
	defaultMiB      = 4096
	mostMiB         = 1 << 20
)

// loadLibrary loads ONNX Runtime, which keeps engines as the environment says.
func loadLibrary(path string, log *slog.Logger) (*ort.Runtime, error) {
	library, err := ort.Load(path)
	if err == nil && os.Getenv(enginesVariable) != enginesOff {
		library.KeepEngines(func() (*engines.Store, error) { return openEngines(log) }, log)
	}
	return library, err
}

// openEngines opens the folder of engines: the environment's, that of the systemd unit, or the user's.
func openEngines(log *slog.Logger) (*engines.Store, error) {
	dir := os.Getenv(enginesVariable)
	if dir == "" {
		parent := os.Getenv("CACHE_DIRECTORY") // systemd's CacheDirectory=
		if parent == "" {
			cache, err := os.UserCacheDir()
			if err != nil {
				return nil, fmt.Errorf("no folder for engines: set %s to one, or to %s: %w", enginesVariable,
					enginesOff, err)
			}
			parent = filepath.Join(cache, "sightline")
		}
		dir = filepath.Join(parent, "engines")
	}
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%s is %q: write an absolute path, or %s", enginesVariable, dir, enginesOff)
	}
	size := cmp.Or(os.Getenv(sizeVariable), strconv.Itoa(defaultMiB))
	mib, err := strconv.ParseInt(size, 10, 64)
	if err != nil || mib < 1 || mib > mostMiB {
		return nil, fmt.Errorf("%s is %q: write MiB, 1 to %d", sizeVariable, size, mostMiB)
	}
	return engines.Open(dir, mib<<20, log)
}
