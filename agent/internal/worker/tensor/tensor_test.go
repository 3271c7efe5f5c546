package tensor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/models/bundle"
)

func newPlan(in bundle.Input, color string, scale float64, mean, std []float64) *Plan {
	pad := uint8(114)
	return NewPlan(in, bundle.Preprocess{
		Resize: bundle.Letterbox, Color: color, Scale: &scale, Mean: mean, Std: std, Pad: &pad,
	})
}

func unit(width, height, channels int) bundle.Input {
	return bundle.Input{
		Width: width, Height: height, Channels: channels, Layout: bundle.LayoutNCHW,
		Type: bundle.TypeFloat32,
	}
}

func noise(tb testing.TB, width, height, channels int) *frame.Frame {
	tb.Helper()
	f := &frame.Frame{}
	require.NoError(tb, f.Shape(width, height, channels))
	tb.Cleanup(f.Release)
	r := rand.New(rand.NewPCG(1, uint64(width*height)))
	for i := range f.Pix {
		f.Pix[i] = uint8(r.Uint32())
	}
	return f
}

func TestLetterboxGeometry(t *testing.T) {
	for name, c := range map[string]struct {
		width, height int
		want          Geometry
	}{
		"same size":     {640, 640, Geometry{640, 640, 0, 0, 640, 640}},
		"full HD":       {1920, 1080, Geometry{1920, 1080, 0, 140, 640, 360}},
		"portrait":      {1080, 1920, Geometry{1080, 1920, 140, 0, 360, 640}},
		"small grows":   {320, 160, Geometry{320, 160, 0, 160, 640, 320}},
		"odd border":    {640, 639, Geometry{640, 639, 0, 0, 640, 639}},
		"odd below":     {640, 637, Geometry{640, 637, 0, 1, 640, 637}},
		"line a pixel":  {10000, 1, Geometry{10000, 1, 0, 319, 640, 1}},
		"pixel":         {1, 1, Geometry{1, 1, 0, 0, 640, 640}},
		"half to even":  {1280, 721, Geometry{1280, 721, 0, 140, 640, 360}},
		"half to even+": {1280, 723, Geometry{1280, 723, 0, 139, 640, 362}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, letterbox(c.width, c.height, 640, 640))
		})
	}
}

func TestPointsComeBackToTheFrameAndStayInIt(t *testing.T) {
	g := letterbox(1920, 1080, 640, 640)
	x, y := g.ToFrame(320, 320)
	require.InDelta(t, 960, x, 1e-3)
	require.InDelta(t, 540, y, 1e-3)
	x, y = g.ToFrame(-5, 5)
	require.Zero(t, x)
	require.Zero(t, y)
	x, y = g.ToFrame(700, 700)
	require.EqualValues(t, 1920, x)
	require.EqualValues(t, 1080, y)
}

// Each value is (pixel × scale − mean) / std at its place in its plane, the border the pad's.
func TestFillPutsEachValueInItsPlace(t *testing.T) {
	// B G R
	f := &frame.Frame{Width: 2, Height: 1, Channels: 3, Stride: 6, Pix: []byte{10, 20, 30, 40, 50, 60}}
	pad := []float32{114 - 1, (114 - 2) / 2., (114 - 3) / 4.}
	value := func(plane int, level float32) float32 {
		return (level - float32(plane+1)) / float32(int(1)<<plane)
	}
	for name, c := range map[string]struct {
		layout, color string
		at            func(plane, x, y int) int
		channel       [3]int
	}{
		"rgb planes": {
			bundle.LayoutNCHW, bundle.ColorRGB,
			func(p, x, y int) int { return p*4 + y*2 + x },
			[3]int{2, 1, 0},
		},
		"bgr planes": {
			bundle.LayoutNCHW, bundle.ColorBGR,
			func(p, x, y int) int { return p*4 + y*2 + x },
			[3]int{0, 1, 2},
		},
		"rgb interleaved": {
			bundle.LayoutNHWC, bundle.ColorRGB,
			func(p, x, y int) int { return (y*2+x)*3 + p },
			[3]int{2, 1, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := unit(2, 2, 3)
			in.Layout = c.layout
			plan := newPlan(in, c.color, 1, []float64{1, 2, 3}, []float64{1, 2, 4})
			canvas, input := NewCanvas(plan), NewInput(plan, 1)
			defer canvas.Close()
			require.NoError(t, canvas.Fit(f))
			canvas.Fill(input)
			for plane := range 3 {
				for x := range 2 {
					level := float32(f.Pix[x*3+c.channel[plane]])
					require.InDelta(t, value(plane, level), input.Floats[c.at(plane, x, 0)], 1e-6)
					require.InDelta(t, pad[plane], input.Floats[c.at(plane, x, 1)], 1e-6)
				}
			}
		})
	}
}

func TestFillGrayFromColourAndColourFromGray(t *testing.T) {
	colour := &frame.Frame{Width: 2, Height: 2, Channels: 3, Stride: 6, Pix: []byte{
		255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255,
	}}
	plan := newPlan(unit(2, 2, 1), bundle.ColorGray, 1, []float64{0}, []float64{1})
	canvas, input := NewCanvas(plan), NewInput(plan, 1)
	defer canvas.Close()
	require.NoError(t, canvas.Fit(colour))
	canvas.Fill(input)
	require.Equal(t, []float32{29, 150, 76, 255}, input.Floats, "what OpenCV makes of them")

	gray := &frame.Frame{Width: 2, Height: 2, Channels: 1, Stride: 2, Pix: []byte{1, 2, 3, 4}}
	in := unit(2, 2, 3)
	in.Type = bundle.TypeUint8
	plan = newPlan(in, bundle.ColorRGB, 1, []float64{0, 0, 0}, []float64{1, 1, 1})
	other, input := NewCanvas(plan), NewInput(plan, 1)
	defer other.Close()
	require.NoError(t, other.Fit(gray))
	other.Fill(input)
	require.Equal(t, []uint8{1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}, input.Bytes)
}

func TestBorderIsRewrittenWhenAnotherFrameSizeComes(t *testing.T) {
	plan := newPlan(unit(64, 64, 1), bundle.ColorGray, 1, []float64{0}, []float64{1})
	canvas, shared, fresh := NewCanvas(plan), NewInput(plan, 1), NewInput(plan, 1)
	defer canvas.Close()
	for _, f := range []*frame.Frame{noise(t, 64, 64, 1), noise(t, 128, 64, 1), noise(t, 64, 128, 3)} {
		require.NoError(t, canvas.Fit(f))
		canvas.Fill(shared)
		*fresh = *NewInput(plan, 1)
		canvas.Fill(fresh)
		require.Equal(t, fresh.Floats, shared.Floats)
	}
}

// The pure-Go scaler and this build's own agree within one grey level, whatever the sizes.
func TestScalersAgree(t *testing.T) {
	for _, c := range []struct{ fromW, fromH, toW, toH, channels int }{
		{1920, 1080, 640, 360, 3},
		{1920, 1080, 640, 360, 1},
		{640, 480, 320, 240, 3},
		{100, 75, 640, 480, 3},
		{33, 7, 640, 136, 1},
		{1, 1, 32, 32, 3},
		{640, 640, 639, 641, 1},
		{2592, 1944, 640, 480, 1},
		{5, 2000, 2, 640, 3},
	} {
		f := noise(t, c.fromW, c.fromH, c.channels)
		own, twin := newScaler(), &goScaler{}
		want, err := twin.scale(f, c.toW, c.toH)
		require.NoError(t, err)
		got, err := own.scale(f, c.toW, c.toH)
		require.NoError(t, err)
		require.Len(t, got, len(want))
		most := 0
		for i := range want {
			most = max(most, int(want[i])-int(got[i]), int(got[i])-int(want[i]))
		}
		require.LessOrEqual(t, most, 1, "%+v", c)
		own.close()
	}
}

// Where centres meet, taking a pixel is what OpenCV's and our own interpolation do; and what is taken, this
// build's own code and its twin in Go agree on to the byte.
func TestSamplingIsBilinearInterpolation(t *testing.T) {
	for _, channels := range []int{1, 3} {
		for _, ratio := range []int{1, 3, 5} {
			const width, height = 37, 24 // no whole number of vectors
			f := noise(t, width*ratio, height*ratio, channels)
			require.Equal(t, ratio, oddRatio(f, width, height))
			s := sampling{width: width, height: height, step: ratio * channels, stride: ratio * f.Stride}
			at := ratio / 2 * (f.Stride + channels)
			got := make([]byte, width*height*channels)
			take(got, f.Pix, at, s, channels, false)
			for _, slow := range []scaler{newScaler(), &goScaler{}} {
				want, err := slow.scale(f, width, height)
				require.NoError(t, err)
				require.Equal(t, want, got, "%d channels, 1 of %d", channels, ratio)
				slow.close()
			}
			light := make([]byte, width*height)
			take(light, f.Pix, at, s, channels, true)
			for i, level := range light {
				if channels == gray {
					require.Equal(t, got[i], level)
				} else {
					require.Equal(t, luma(got[3*i:]), level)
				}
			}
		}
	}
	for _, other := range [][2]int{{64, 48}, {96, 71}, {100, 75}, {31, 24}} {
		require.Zero(t, oddRatio(noise(t, other[0], other[1], 1), 32, 24), "%v", other)
	}
}

func TestPaddedRowsScaleLikePackedOnes(t *testing.T) {
	packed := noise(t, 50, 40, 3)
	padded := &frame.Frame{Width: 50, Height: 40, Channels: 3, Stride: 160, Pix: make([]byte, 160*40)}
	for y := range 40 {
		copy(padded.Pix[y*160:], packed.Pix[y*150:(y+1)*150])
	}
	plan := newPlan(unit(64, 64, 3), bundle.ColorBGR, 1, []float64{0, 0, 0}, []float64{1, 1, 1})
	canvas, a, b := NewCanvas(plan), NewInput(plan, 1), NewInput(plan, 1)
	defer canvas.Close()
	require.NoError(t, canvas.Fit(packed))
	canvas.Fill(a)
	require.NoError(t, canvas.Fit(padded))
	canvas.Fill(b)
	require.InDeltaSlice(t, a.Floats, b.Floats, 1)
}

func TestBrokenFramesAreRefused(t *testing.T) {
	canvas := NewCanvas(newPlan(unit(64, 64, 1), bundle.ColorGray, 1, []float64{0}, []float64{1}))
	defer canvas.Close()
	for name, f := range map[string]*frame.Frame{
		"empty":         {},
		"two channels":  {Width: 1, Height: 1, Channels: 2, Stride: 2, Pix: make([]byte, 2)},
		"short memory":  {Width: 8, Height: 8, Channels: 1, Stride: 8, Pix: make([]byte, 63)},
		"short stride":  {Width: 8, Height: 8, Channels: 3, Stride: 8, Pix: make([]byte, 640)},
		"negative size": {Width: -8, Height: -8, Channels: 1, Stride: 8, Pix: make([]byte, 64)},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, canvas.Fit(f), ErrFrame) })
	}
}

func TestTheSteadyStateAllocatesNothing(t *testing.T) {
	plan := newPlan(unit(640, 640, 3), bundle.ColorRGB, 1./255, []float64{0, 0, 0}, []float64{1, 1, 1})
	canvas, input := NewCanvas(plan), NewInput(plan, 1)
	defer canvas.Close()
	frames := []*frame.Frame{noise(t, 1920, 1080, 3), noise(t, 1920, 1080, 3)}
	n := 0
	require.Zero(t, alloctest.Least(20, func() {
		n++
		require.NoError(t, canvas.Fit(frames[n%2]))
		canvas.Fill(input)
	}))
}

func BenchmarkFullHDToFloat32(b *testing.B) {
	plan := newPlan(unit(640, 640, 3), bundle.ColorRGB, 1./255, []float64{0, 0, 0}, []float64{1, 1, 1})
	canvas, input := NewCanvas(plan), NewInput(plan, 1)
	defer canvas.Close()
	f := noise(b, 1920, 1080, 3)
	for b.Loop() {
		if err := canvas.Fit(f); err != nil {
			b.Fatal(err)
		}
		canvas.Fill(input)
	}
	require.InDelta(b, 114./255, input.Floats[0], 1e-6)
}

func BenchmarkGray640Unscaled(b *testing.B) {
	plan := newPlan(unit(640, 640, 1), bundle.ColorGray, 1./255, []float64{0}, []float64{1})
	canvas, input := NewCanvas(plan), NewInput(plan, 1)
	defer canvas.Close()
	f := noise(b, 640, 640, 1)
	for b.Loop() {
		if err := canvas.Fit(f); err != nil {
			b.Fatal(err)
		}
		canvas.Fill(input)
	}
	require.InDelta(b, float32(f.Pix[0])/255, input.Floats[0], 1e-6)
}
