package tensor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/models/bundle"
)

func sheetPlan() *Plan {
	return newPlan(unit(64, 64, gray), bundle.ColorGray, 1, []float64{0}, []float64{1}).Unscaled()
}

func TestPartsOfASheetAreNotScaled(t *testing.T) {
	for name, c := range map[string]struct {
		width, height int
		want          Geometry
	}{
		"as large as the input": {64, 64, Geometry{64, 64, 0, 0, 64, 64}},
		"lower":                 {64, 31, Geometry{64, 31, 0, 16, 64, 31}},
		"smaller":               {10, 31, Geometry{10, 31, 27, 16, 10, 31}},
	} {
		t.Run(name, func(t *testing.T) {
			canvas := NewCanvas(sheetPlan())
			defer canvas.Close()
			require.NoError(t, canvas.Fit(noise(t, c.width, c.height, gray)))
			require.Equal(t, c.want, canvas.Geometry())
		})
	}
	canvas := NewCanvas(sheetPlan())
	defer canvas.Close()
	require.ErrorIs(t, canvas.Fit(noise(t, 65, 64, gray)), ErrFrame)
}

// The sheet is black in one corner; the part at hand shows only the other gray, with noise.
func TestAPartHasTheThresholdOfItsSheet(t *testing.T) {
	for _, channels := range []int{gray, bgr} {
		f := noise(t, 640, 320, channels)
		for i := range f.Pix {
			f.Pix[i] = 190 + f.Pix[i]%8
			if x := i % f.Stride / channels; x < 100 {
				f.Pix[i] = 20
			}
		}
		plan := sheetPlan().Binarized(bundle.Preprocess{Binarize: bundle.Otsu})
		threshold, err := plan.Sheet(f)
		require.NoError(t, err)
		require.InDelta(t, 100, int(threshold), 60)
		part := &frame.Frame{
			Width: 64, Height: 64, Channels: channels, Stride: f.Stride, Pix: f.Pix[300*channels:],
		}
		canvas := NewCanvas(plan)
		t.Cleanup(canvas.Close)
		canvas.Hold(threshold)
		require.NoError(t, canvas.Fit(part))
		for _, v := range canvas.Plane() {
			require.EqualValues(t, 255, v)
		}
	}
}

func TestASheetIsSampledUpToItsSize(t *testing.T) {
	f := &frame.Frame{}
	require.NoError(t, f.Shape(5000, 3001, gray))
	defer f.Release()
	for i := range f.Pix {
		f.Pix[i] = byte(i/f.Stride%2) * 80 // the last row is of the first kind
	}
	threshold, err := sheetPlan().Binarized(bundle.Preprocess{Binarize: bundle.Otsu}).Sheet(f)
	require.NoError(t, err)
	require.NotZero(t, threshold)
	_, err = sheetPlan().Sheet(&frame.Frame{Width: 9, Height: 9, Channels: 1, Stride: 9, Pix: f.Pix[:80]})
	require.ErrorIs(t, err, ErrFrame)
}
