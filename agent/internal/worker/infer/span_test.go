package infer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzSpan demands of any box that lies in its frame that the crop lies there, too, and holds the box.
func FuzzSpan(f *testing.F) {
	f.Add(float32(3.5), float32(9.25), float32(0.1), uint16(640))
	f.Add(float32(0), float32(640), float32(2), uint16(640))
	f.Add(float32(639.999), float32(640), float32(0), uint16(640))
	f.Add(float32(0), float32(1e-30), float32(0), uint16(1))
	f.Fuzz(func(t *testing.T, from, to, margin float32, side uint16) {
		if !(from >= 0 && to > from && to <= float32(side) && margin >= 0 && margin <= 2) {
			t.Skip("no decoder gives such a box, no manifest such a margin")
		}
		first, length := span(from, to, margin, int(side))
		require.Positive(t, length)
		require.GreaterOrEqual(t, first, 0)
		require.LessOrEqual(t, first+length, int(side))
		require.LessOrEqual(t, float32(first), from)
		require.GreaterOrEqual(t, float32(first+length), to)
	})
}
