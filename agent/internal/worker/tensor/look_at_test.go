package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// drawn is a frame of one pixel value for each place.
func drawn(tb testing.TB, width, height, channels int, pixel func(x, y int) byte) *frame.Frame {
	tb.Helper()
	f := &frame.Frame{}
	require.NoError(tb, f.Shape(width, height, channels))
	tb.Cleanup(f.Release)
	for y := range height {
		for x := range width {
			for c := range channels {
				f.Pix[y*f.Stride+x*channels+c] = pixel(x, y)
			}
		}
	}
	return f
}

func TestALookAtAFrameTellsLightContrastAndSharpness(t *testing.T) {
	for _, c := range []struct {
		name                       string
		pixel                      func(x, y int) byte
		mean, deviation, sharpness float64
	}{
		{"black", func(int, int) byte { return 0 }, 0, 0, 0},
		{"gray", func(int, int) byte { return 117 }, 117, 0, 0},
		{"stripes", func(x, _ int) byte { return byte(x % 2 * 200) }, 100, 100, 200},
		{"wide stripes", func(x, _ int) byte { return byte(x / 4 % 2 * 200) }, 100, 100, 200 * 7.0 / 31},
		{"ramp", func(_, y int) byte { return byte(y) }, 127.5, 73.88, 0},
	} {
		for _, channels := range []int{1, 3} {
			got := tensor.LookAt(drawn(t, 512, 256, channels, c.pixel))
			require.InDelta(t, c.mean, got.Mean, 0.6, c.name)
			require.InDelta(t, c.deviation, got.Deviation, 0.6, c.name)
			require.InDelta(t, c.sharpness, got.Sharpness, 1e-3, c.name)
		}
	}
}

func TestALookAtTheSmallestFramesStaysInside(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 1}, {1, 200}, {31, 3}, {33, 31}, {4097, 2}} {
		got := tensor.LookAt(drawn(t, size[0], size[1], 3, func(int, int) byte { return 9 }))
		require.Equal(t, tensor.Appearance{Mean: 9}, got, size)
	}
}

func TestALookAllocatesNothing(t *testing.T) {
	f := drawn(t, 640, 480, 3, func(x, y int) byte { return byte(x ^ y) })
	require.Zero(t, alloctest.Least(100, func() { tensor.LookAt(f) }))
}

func BenchmarkLookAt(b *testing.B) {
	f := drawn(b, 1920, 1080, 3, func(x, y int) byte { return byte(x ^ y) })
	for b.Loop() {
		if tensor.LookAt(f).Mean == 0 {
			b.Fatal("it is not black")
		}
	}
}
