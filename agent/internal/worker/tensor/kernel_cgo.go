//go:build cgo

package tensor

// #cgo CFLAGS: -O3
// #include "kernel.h"
import "C"

func takeGray(dst, src []byte, s sampling) {
	C.take_gray((*C.uint8_t)(&dst[0]), (*C.uint8_t)(&src[0]), s.c())
}

func takeColour(dst, src []byte, s sampling) {
	C.take_colour((*C.uint8_t)(&dst[0]), (*C.uint8_t)(&src[0]), s.c())
}

func takeLuma(dst, src []byte, s sampling) {
	C.take_luma((*C.uint8_t)(&dst[0]), (*C.uint8_t)(&src[0]), s.c())
}

func (s sampling) c() C.struct_sampling {
	return C.struct_sampling{
		width: C.size_t(s.width), height: C.size_t(s.height),
		step: C.size_t(s.step), stride: C.size_t(s.stride),
	}
}

func spreadFloats(dst []float32, src []byte, s spreading) {
	C.spread((*C.float)(&dst[0]), (*C.uint8_t)(&src[0]), C.struct_spreading{
		width: C.size_t(s.width), height: C.size_t(s.height),
		from_step: C.size_t(s.fromStep), from_stride: C.size_t(s.fromStride),
		to_step: C.size_t(s.toStep), to_stride: C.size_t(s.toStride),
		scale: C.float(s.scale), offset: C.float(s.offset),
	})
}

func across(dst []int32, src []byte, c *columns, channels int) {
	C.across(
		(*C.int32_t)(&dst[0]), (*C.uint8_t)(&src[0]), (*C.int32_t)(&c.first[0]), (*C.int32_t)(&c.second[0]),
		(*C.int32_t)(&c.weight[0]), C.size_t(len(c.weight)), C.size_t(channels))
}

func blend(dst []byte, above, below []int32, weight int32) {
	C.blend((*C.uint8_t)(&dst[0]), (*C.int32_t)(&above[0]), (*C.int32_t)(&below[0]), C.size_t(len(dst)),
		C.int32_t(weight))
}
