package decode

import "math"

// block is so many values that are looked at together.
const block = 16

// quiet is how many of the first values are scores below the floor that nobody has to look at: a negative one
// and one that is not finite end the count. As numbers without a sign the bits of floats from 0 up have their
// order, and those of all others are above; the bits of a block or'ed are no less than those of each.
func quiet(values []float32, floor float32) int {
	limit, n := math.Float32bits(floor), 0
	for ; n+block <= len(values); n += block {
		b := (*[block]float32)(values[n:])
		if together((*[block / 2]float32)(b[:]))|together((*[block / 2]float32)(b[block/2:])) < limit {
			continue
		}
		for i, v := range b {
			if math.Float32bits(v) >= limit {
				return n + i
			}
		}
	}
	for n < len(values) && math.Float32bits(values[n]) < limit {
		n++
	}
	return n
}

func together(b *[block / 2]float32) uint32 {
	one := math.Float32bits(b[0]) | math.Float32bits(b[1]) | math.Float32bits(b[2]) | math.Float32bits(b[3])
	two := math.Float32bits(b[4]) | math.Float32bits(b[5]) | math.Float32bits(b[6]) | math.Float32bits(b[7])
	return one | two
}
