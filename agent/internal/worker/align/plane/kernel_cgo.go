//go:build cgo

package plane

// #cgo CFLAGS: -O3
// #include "kernel.h"
import "C"

func around(counts []int32, board, template *Plane, scratch []uint64, s *Search) {
	C.around(
		(*C.int32_t)(&counts[0]), (*C.uint64_t)(&board.bits[0]), (*C.uint64_t)(&template.bits[0]),
		(*C.uint64_t)(&scratch[0]), C.struct_search{
			x: C.ptrdiff_t(s.X), y: C.ptrdiff_t(s.Y), words: C.ptrdiff_t(s.Words), rows: C.ptrdiff_t(s.Rows),
			dx: C.ptrdiff_t(s.DX), dy: C.ptrdiff_t(s.DY), reach: C.ptrdiff_t(s.Reach),
			stride: C.ptrdiff_t(board.stride), height: C.ptrdiff_t(board.Height), margin: before,
			mask: C.uint64_t(s.Mask),
		})
}
