package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestTheThresholdToLookAtIsTheOneThatIsUsed(t *testing.T) {
	const width, height = 64, 64
	f := &frame.Frame{}
	require.NoError(t, f.Shape(width, height, 1))
	defer f.Release()
	for i := range f.Pix {
		f.Pix[i] = byte(i % 7 * 30)
	}
	for way, want := range map[string]uint8{bundle.Otsu: 0, "31": 31, "200": 200} {
		plan := tensor.Native(bundle.Preprocess{Binarize: way})
		grayPlan := plan.Unbinarized()
		canvas, seen := tensor.NewCanvas(plan), tensor.NewCanvas(grayPlan)
		t.Cleanup(canvas.Close)
		t.Cleanup(seen.Close)
		require.NoError(t, canvas.Fit(f))
		require.NoError(t, seen.Fit(f))
		pixels := seen.Pixels()
		require.Equal(t, f.Pix, pixels)
		threshold, ok := plan.Threshold(pixels, width)
		require.True(t, ok)
		if want != 0 {
			require.Equal(t, want, threshold)
		}
		for i, v := range canvas.Plane() {
			require.Equal(t, pixels[i] >= threshold, v == 255, "%s at %d", way, i)
		}
		_, ok = grayPlan.Threshold(pixels, width)
		require.False(t, ok)
	}
}
