package sim

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOptionsAreSetByName(t *testing.T) {
	o := DefaultOptions()
	for key, text := range map[string]string{
		"seed": "9", "product": "4", "defects": "3", "clean": "0", "width": "1920", "height": "1080",
	} {
		require.NoError(t, o.Set(key, text), key)
	}
	require.Equal(t, Options{Width: 1920, Height: 1080, Seed: 9, Product: 4, Defects: 3}, o)
}

func TestEachKeyTakesANumberOnly(t *testing.T) {
	for _, key := range Keys() {
		o := DefaultOptions()
		require.NoError(t, o.Set(key, "700"), key)
		require.ErrorContains(t, o.Set(key, "x"), key+` is "x"; it must be a`)
		require.ErrorContains(t, o.Set(key, ""), key+` is ""`)
	}
	o := DefaultOptions()
	require.ErrorContains(t, o.Set("sed", "1"), `"sed" is no option`)
	require.ErrorContains(t, o.Set("width", "999999999999999999999"), "width is")
}

func TestWhatANumberMayBeIsCheckedAfterwards(t *testing.T) {
	for key, text := range map[string]string{
		"width": "63", "height": "16385", "defects": "NaN", "clean": "1.1",
	} {
		o := DefaultOptions()
		require.NoError(t, o.Set(key, text), key)
		require.ErrorContains(t, o.Validate(), key, "%s=%s", key, text)
	}
}

func FuzzSet(f *testing.F) {
	f.Add("seed", "7")
	f.Add("clean", "NaN")
	f.Fuzz(func(t *testing.T, key, text string) {
		o := DefaultOptions()
		if o.Set(key, text) == nil && o.Validate() == nil {
			require.False(t, math.IsNaN(o.Clean) || math.IsNaN(o.Defects))
		}
	})
}

// The mean of 400 draws is off by more than five of its standard deviations about never.
func TestLargeMeansAreDrawnLikeSmallOnes(t *testing.T) {
	const draws = 400
	for _, mean := range []float64{2, 255, 257, 1500, maxDefects} {
		r := stream(7, 1, purposeDefects)
		sum := 0
		for range draws {
			sum += r.poisson(mean)
		}
		require.InDelta(t, mean, float64(sum)/draws, 5*math.Sqrt(mean/draws), mean)
	}
}
