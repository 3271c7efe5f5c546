//go:build cgo

package ort

// #cgo LDFLAGS: -ldl
// #include "missing.h"
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unloadable is what ONNX Runtime says of a provider whose library, or one that it needs, is not there.
// Which, it writes into a log of its own.
const unloadable = "Failed to load shared library"

// told adds to the error of a provider which library is missing.
func (r *Runtime) told(err error, provider string) error {
	if err == nil || !strings.Contains(err.Error(), unloadable) {
		return err
	}
	if why := missing(filepath.Dir(r.path), provider); why != "" {
		return fmt.Errorf("%w: %s", err, why)
	}
	return err
}

// missing looks for a provider's library in the folder of ONNX Runtime's, and for those that it needs.
func missing(folder, provider string) string {
	name := "libonnxruntime_providers_" + provider + ".so"
	path := filepath.Join(folder, name)
	_, err := os.Stat(path)
	if err != nil {
		return "there is no " + name + " beside ONNX Runtime's library: this build of it lacks the provider"
	}
	if why := load(path); why != "" {
		return why + ": install it, or name its folder in LD_LIBRARY_PATH"
	}
	return ""
}

// load says why a library does not load, or nothing; one that does stays.
func load(path string) string {
	name := append([]byte(path), 0)
	why := C.load_error((*C.uchar)(&name[0]))
	if why == nil {
		return ""
	}
	return C.GoString(why)
}
