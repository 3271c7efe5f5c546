//go:build cgo

package half

// #cgo CFLAGS: -O3
// #include "kernel.h"
import "C"

func narrow(dst []uint16, src []float32) {
	if len(src) > 0 {
		C.narrow((*C.uint16_t)(&dst[0]), (*C.float)(&src[0]), C.size_t(len(src)))
	}
}

func widen(dst []float32, src []uint16) {
	if len(src) > 0 {
		C.widen((*C.float)(&dst[0]), (*C.uint16_t)(&src[0]), C.size_t(len(src)))
	}
}
