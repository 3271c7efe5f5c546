package decode

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// No value that has to be looked at is passed over, wherever in a block it stands.
func TestQuietEndsAtEachValueThatHasToBeLookedAt(t *testing.T) {
	const floor = 0.25
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, loud := range map[string]float32{
		"NaN": nan, "negative NaN": float32(math.Copysign(float64(nan), -1)), "infinite": inf,
		"minus infinite": -inf, "the floor": floor, "one": 1, "negative": -3, "hardly negative": -1e-9,
	} {
		t.Run(name, func(t *testing.T) {
			for length := range 3*block + 2 {
				for at := range length {
					values := make([]float32, length)
					for i := range values {
						values[i] = []float32{0, 1e-4, 0.1, 0.2499, 1e-30}[i%5]
					}
					require.Equal(t, length, quiet(values, floor))
					values[at] = loud
					require.Equal(t, at, quiet(values, floor), "of %d", length)
				}
			}
		})
	}
}

func TestAllIsQuietJustBelowAnyFloor(t *testing.T) {
	for _, floor := range []float32{0.0001, 0.01, 0.05, 0.5, 1} {
		values := make([]float32, 100)
		for i := range values {
			values[i] = math.Nextafter32(floor, 0) / float32(1+i%3)
		}
		require.Equal(t, 100, quiet(values, floor))
	}
}
