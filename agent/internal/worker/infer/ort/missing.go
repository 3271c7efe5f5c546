//go:build cgo

package ort

// #cgo LDFLAGS: -ldl
// #include "missing.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unloadable is what ONNX Runtime says of a provider whose library, or one that it needs, is not there.
// Which, it writes into a log of its own.
const unloadable = "Failed to load shared library"

var errDriver = errors.New("the GPU's driver refuses")

// told makes of the error of a provider what an operator can use: which library is missing, and what a driver
// said without the lines of C++ that it came by, which leave it no room in a state.
func (r *Runtime) told(err error, provider string) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), unloadable):
		if why := missing(filepath.Dir(r.path), provider); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
	default:
		if said := failure(err.Error()); said != "" {
			return fmt.Errorf("%w: %s", errDriver, said)
		}
	}
	return err
}

// failure is what CUDA or one of its libraries said, as in "… CUDA failure 35: CUDA driver version is
// insufficient for CUDA runtime version ; GPU=-1 ; hostname=…".
func failure(text string) string {
	for _, library := range []string{"CUDA", "CUDNN", "CUBLAS", "CUFFT", "CURAND"} {
		if _, said, found := strings.Cut(text, library+" failure "); found {
			said, _, _ = strings.Cut(said, " ; ")
			return library + " failure " + said
		}
	}
	return ""
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
