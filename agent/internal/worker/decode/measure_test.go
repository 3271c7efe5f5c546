package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// gauge reads a width as a part of the crop in steps of 0.01 mm, a height as a part of it, and an angle.
func gauge(tb testing.TB, dims ...int64) (*decode.Decoder, error) {
	tb.Helper()
	m := &bundle.Manifest{Decoder: bundle.Decoder{
		Family: bundle.FamilyMeasure, MaxDetections: 100, Measures: []bundle.Measure{
			{Name: "width", Unit: "mm", Relative: bundle.RelativeWidth, Scale: 0.01},
			{Name: "height", Relative: bundle.RelativeHeight, Scale: 1},
			{Name: "angle", Scale: -90},
		},
	}}
	return decode.New(m, []decode.Port{{Name: "values", Dims: dims}})
}

func crop() tensor.Geometry {
	return tensor.Geometry{FrameWidth: 200, FrameHeight: 50, Width: 64, Height: 64}
}

func TestNumbersAreMeasuresOfTheCrop(t *testing.T) {
	for _, dims := range [][]int64{{1, 3}, {1, 3, 1, 1}} {
		d, err := gauge(t, dims...)
		require.NoError(t, err)
		found, err := d.Decode([][]float32{{0.5, 0.25, -0.5}}, crop())
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.InDeltaSlice(t, []float32{1, 12.5, 45}, found[0].Measures, 1e-5)
		require.Equal(t, [4]float32{0, 0, 200, 50}, found[0].Box)
		output := [][]float32{{0.5, 0.25, 7}}
		require.Zero(t, alloctest.Least(10, func() {
			if _, err := d.Decode(output, crop()); err != nil {
				t.Error(err)
			}
		}))
	}
}

func TestNumbersThatMeasureNothingAreRefused(t *testing.T) {
	for name, output := range map[string][]float32{
		"NaN": {0, float32(math.NaN()), 0}, "infinity": {float32(math.Inf(-1)), 0, 0},
		"beyond all measure": {0, 0, 1e30}, "too few": {1, 2},
	} {
		d, err := gauge(t, 1, 3)
		require.NoError(t, err)
		found, err := d.Decode([][]float32{output}, crop())
		require.ErrorIs(t, err, decode.ErrOutput, name)
		require.Empty(t, found)
	}
}

func TestAnOutputOfOtherMeasuresIsRefused(t *testing.T) {
	for _, dims := range [][]int64{{1, 2}, {1, 4}, {3}, {2, 3}, {1, 3, 2, 1}, {1, onnxfile.Dynamic}} {
		_, err := gauge(t, dims...)
		require.Error(t, err, "%v", dims)
	}
	_, err := gauge(t, 1, 2)
	require.ErrorContains(t, err, `output "values" is [1 2], the decoder measure reads [1 3]`)
}

func FuzzMeasure(f *testing.F) {
	f.Add(float32(0.5), float32(0), float32(-1), uint16(200))
	f.Add(float32(math.Inf(1)), float32(3e38), float32(1e-45), uint16(1))
	f.Fuzz(func(t *testing.T, a, b, c float32, side uint16) {
		d, err := gauge(t, 1, 3)
		require.NoError(t, err)
		g := tensor.Geometry{FrameWidth: int(side), FrameHeight: int(side), Width: 64, Height: 64}
		found, err := d.Decode([][]float32{{a, b, c}}, g)
		if err != nil {
			require.ErrorIs(t, err, decode.ErrOutput)
			return
		}
		for _, v := range found[0].Measures {
			require.LessOrEqual(t, math.Abs(float64(v)), 1.001e12)
		}
	})
}
