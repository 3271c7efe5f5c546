package decode

import (
	"math"
	"unsafe"
)

// block is so many values that are looked at together.
const block = 16

// signs are the highest bits of two numbers of 32 bits in one of 64.
const signs = 1<<63 | 1<<31

// quiet is how many of the first values are scores below the floor that nobody has to look at: a negative one
// and one that is not finite end the count. As numbers without a sign the bits of floats from 0 up have their
// order, those of infinity and NaN are above, and those of negative ones have the highest bit. To add what is
// missing from the floor's bits to it sets it in all that are no less than these; a carry into the other
// number of a pair comes only of negative ones.
func quiet(values []float32, floor float32) int {
	limit, n := math.Float32bits(floor), 0
	far := signs - (uint64(limit)<<32 | uint64(limit))
	for pairs := inPairs(values); len(pairs) >= block/2; pairs = pairs[block/2:] {
		b := (*[block / 2]uint64)(pairs)
		all := b[0] | (b[0] + far) | b[1] | (b[1] + far) | b[2] | (b[2] + far) | b[3] | (b[3] + far) |
			b[4] | (b[4] + far) | b[5] | (b[5] + far) | b[6] | (b[6] + far) | b[7] | (b[7] + far)
		if all&signs != 0 {
			return n + below(values[n:], limit)
		}
		n += block
	}
	return n + below(values[n:], limit)
}

// below is how many of the first values have bits below a limit.
func below(values []float32, limit uint32) int {
	for i, v := range values {
		if math.Float32bits(v) >= limit {
			return i
		}
	}
	return len(values)
}

// inPairs are the bits of each two values, in the machine's order; the last one of an odd number is left out.
// Without it quiet would take four times as long: Go loads each float into a register of its own.
func inPairs(values []float32) []uint64 {
	if len(values) < 2 { //nolint:mnd // of a pair
		return nil
	}
	first := unsafe.Pointer(unsafe.SliceData(values)) //nolint:gosec // the same memory, and not a byte more
	return unsafe.Slice((*uint64)(first), len(values)/2)
}
