// Package half converts between float32 and the 16-bit floats of IEEE 754 (binary16: a sign, five bits of
// exponent, ten of mantissa), which models in half precision take and give. Bits are kept in uint16. Nothing
// is allocated.
package half

import "math"

// Largest is the largest number that is not infinite.
const Largest = 65504

const (
	sign      = 0x8000
	infinity  = 0x7c00 // all bits of the exponent; those above it are no numbers
	quiet     = 0x7e00 // what every NaN becomes
	normal    = 0x0400 // the least with a whole mantissa, 2^-14
	mantissas = 13     // bits by which a float32's mantissa is longer
	// biases is the difference of the two exponents' biases, 127 - 15, in place in a float32.
	biases = 112 << 23
	// least is the float32 of 2^-14; what is below has fewer bits of mantissa the smaller it is.
	least = 113 << 23
	// over is the float32 from which all is infinite, 2^16. Below it rounding carries what has to be into it.
	over = 143 << 23
	// step is 2^-24, the distance of the halves below 2^-14.
	step = 1.0 / (1 << 24)
	// grid is 0.5: float32 from 0.5 to 1 are steps apart, so that an addition to it rounds to whole steps.
	grid = 126 << 23
)

// Narrow writes the nearest halves of src, of two equally near the even one; what is over Largest by half a
// step or more becomes infinite. dst is as long as src.
func Narrow(dst []uint16, src []float32) { narrow(dst[:len(src)], src) }

// Widen writes the float32 of each half of src, which are exact. dst is as long as src.
func Widen(dst []float32, src []uint16) { widen(dst[:len(src)], src) }

// goNarrow is what the C of kernel.c does, for builds without it.
func goNarrow(dst []uint16, src []float32) {
	for i, v := range src {
		bits := math.Float32bits(v)
		size := bits &^ (sign << 16)
		var h uint32
		switch {
		case size > 0xff<<23:
			h = quiet
		case size >= over:
			h = infinity
		case size < least:
			h = math.Float32bits(math.Float32frombits(size)+math.Float32frombits(grid)) - grid
		default:
			odd := size >> mantissas & 1
			h = (size - biases + odd + 1<<(mantissas-1) - 1) >> mantissas
		}
		dst[i] = uint16(h | bits>>16&sign)
	}
}

// goWiden is the same the other way round.
func goWiden(dst []float32, src []uint16) {
	for i, h := range src {
		size := uint32(h &^ sign)
		bits := size<<mantissas + biases
		switch {
		case size >= infinity:
			bits += biases
		case size < normal:
			bits = math.Float32bits(float32(size) * step)
		}
		dst[i] = math.Float32frombits(bits | uint32(h&sign)<<16)
	}
}
