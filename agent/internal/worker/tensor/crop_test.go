package tensor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/models/bundle"
)

func cropPlan(tb testing.TB, resize string, side int) *Plan {
	tb.Helper()
	scale, pad := 1.0/255, uint8(114)
	return NewPlan(bundle.Input{Width: side, Height: side, Channels: 3}, bundle.Preprocess{
		Resize: resize, Color: bundle.ColorRGB, Scale: &scale, Mean: []float64{0, 0, 0},
		Std: []float64{1, 1, 1}, Pad: &pad,
	})
}

func speckled(tb testing.TB, width, height int) *frame.Frame {
	tb.Helper()
	f := &frame.Frame{}
	require.NoError(tb, f.Shape(width, height, 3))
	tb.Cleanup(f.Release)
	state := uint32(1)
	for i := range f.Pix {
		state = state*1664525 + 1013904223
		f.Pix[i] = byte(state >> 24)
	}
	return f
}

// A part of a frame is scaled as if it were a frame of its own, and its frame is the part.
func TestACropIsAFrameOfItsOwn(t *testing.T) {
	f := speckled(t, 320, 240)
	for _, resize := range []string{bundle.Letterbox, bundle.Stretch} {
		plan := cropPlan(t, resize, 64)
		crops, frames := NewCropCanvas(plan), NewCanvas(plan)
		t.Cleanup(crops.Close)
		t.Cleanup(frames.Close)
		for _, size := range [][2]int{{64, 64}, {192, 192}, {100, 37}, {20, 90}, {1, 1}, {320, 30}} {
			part := f.Part(0, 240-size[1], size[0], size[1])
			own := &frame.Frame{}
			require.NoError(t, own.Shape(size[0], size[1], 3))
			for y := range size[1] {
				copy(own.Pix[y*own.Stride:][:own.Stride], part.Pix[y*part.Stride:])
			}
			require.NoError(t, crops.Fit(&part))
			require.NoError(t, frames.Fit(own))
			require.Equal(t, frames.Geometry(), crops.Geometry())
			require.Equal(t, size, [2]int{crops.Frame().Width, crops.Frame().Height})
			require.Equal(t, &part.Pix[0], &crops.Frame().Pix[0])
			a, b := NewInput(plan, 1), NewInput(plan, 1)
			crops.Fill(a)
			frames.Fill(b)
			for i := range a.Floats {
				require.InDelta(t, b.Floats[i], a.Floats[i], 1.001/255, "%v: OpenCV's rounding", size)
			}
			own.Release()
		}
	}
}

func TestCropsOfAnySizeAllocateNothing(t *testing.T) {
	f := speckled(t, 320, 240)
	for _, resize := range []string{bundle.Letterbox, bundle.Stretch} {
		plan := cropPlan(t, resize, 64)
		canvas, in := NewCropCanvas(plan), NewInput(plan, 1)
		t.Cleanup(canvas.Close)
		var part frame.Frame
		size := 0
		require.Zero(t, alloctest.Least(50, func() {
			size++
			part = f.Part(size%7, size%5, 1+(37*size)%300, 1+(53*size)%230)
			if err := canvas.Fit(&part); err != nil {
				t.Error(err)
			}
			canvas.Fill(in)
		}))
	}
}

func BenchmarkCrop(b *testing.B) {
	f := speckled(b, 1920, 1080)
	for name, side := range map[string]int{"64": 64, "224": 224} {
		b.Run(name, func(b *testing.B) {
			plan := cropPlan(b, bundle.Stretch, side)
			canvas, in := NewCropCanvas(plan), NewInput(plan, 1)
			defer canvas.Close()
			n := 0
			for b.Loop() {
				n++
				part := f.Part(n%1500, n%700, 100+n%200, 120+n%150)
				if err := canvas.Fit(&part); err != nil {
					b.Fatal(err)
				}
				canvas.Fill(in)
			}
			require.NotZero(b, in.Floats[side])
		})
	}
}
