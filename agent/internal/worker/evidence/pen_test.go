package evidence_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

const quality = 95

func plain(t *testing.T, width, height, channels int, pixel ...byte) *frame.Frame {
	t.Helper()
	f := &frame.Frame{}
	require.NoError(t, f.Shape(width, height, channels))
	t.Cleanup(f.Release)
	for i := range f.Pix {
		f.Pix[i] = pixel[i%channels]
	}
	return f
}

func decode(t *testing.T, raw []byte, err error) image.Image {
	t.Helper()
	require.NoError(t, err)
	picture, err := jpeg.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	return picture
}

func near(t *testing.T, picture image.Image, x, y int, want color.RGBA) {
	t.Helper()
	r, g, b, _ := picture.At(x, y).RGBA()
	got := []float64{float64(r >> 8), float64(g >> 8), float64(b >> 8)}
	require.InDeltaSlice(t, []float64{float64(want.R), float64(want.G), float64(want.B)}, got, 30,
		"at %d, %d", x, y)
}

func TestAnnotatedPictureHasVerdictBoxAndTheFrameItself(t *testing.T) {
	f := plain(t, 640, 480, 3, 200, 40, 20) // blue
	mark := evidence.Mark{Class: 0, Name: "open", Score: 0.93, Box: [4]float32{200, 200, 300, 260}}
	raw, err := evidence.NewPen().Annotate(f, nil, evidence.Caption{Verdict: "FAIL", Text: "line1/aoi-1"},
		[]evidence.Mark{mark}, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - 480
	require.Equal(t, 640, picture.Bounds().Dx())
	require.Positive(t, banner)
	blue, red := color.RGBA{20, 40, 200, 255}, color.RGBA{197, 32, 38, 255}
	near(t, picture, 2, 2, red)
	near(t, picture, 639, 2, color.RGBA{17, 24, 39, 255})
	near(t, picture, 20, banner+240, blue)
	near(t, picture, 250, banner+230, blue) // inside the box nothing is painted
	near(t, picture, 199, banner+230, color.RGBA{213, 94, 0, 255})
}

func TestAnOutlineIsDrawnInsteadOfItsBox(t *testing.T) {
	f, pen := plain(t, 640, 480, 1, 90), evidence.NewPen()
	t.Cleanup(pen.Close)
	diamond := [][2]float32{{320, 140}, {420, 240}, {320, 340}, {220, 240}}
	mark := evidence.Mark{Name: "turned", Score: 0.9, Box: [4]float32{220, 140, 420, 340}, Outline: diamond}
	raw, err := pen.Annotate(f, nil, evidence.Caption{Verdict: "FAIL"}, []evidence.Mark{mark}, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - 480
	near(t, picture, 370, banner+190, color.RGBA{213, 94, 0, 255})
	near(t, picture, 270, banner+290, color.RGBA{213, 94, 0, 255})
	near(t, picture, 320, banner+240, color.RGBA{90, 90, 90, 255})
	near(t, picture, 419, banner+339, color.RGBA{90, 90, 90, 255})
}

func TestCropHasAMarginAndStaysInTheFrame(t *testing.T) {
	f, pen := plain(t, 100, 80, 1, 90), evidence.NewPen()
	for name, c := range map[string]struct {
		box  [4]float32
		want image.Point
	}{
		"inside":      {[4]float32{40, 40, 60, 50}, image.Pt(40, 30)},
		"in a corner": {[4]float32{0, 0, 20, 20}, image.Pt(30, 30)},
		"all of it":   {[4]float32{0, 0, 100, 80}, image.Pt(100, 80)},
		"one pixel":   {[4]float32{50, 50, 50.5, 50.5}, image.Pt(1, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := pen.Crop(f, nil, evidence.Mark{Box: c.box}, quality)
			picture := decode(t, raw, err)
			require.Equal(t, c.want, picture.Bounds().Size())
			near(t, picture, 0, 0, color.RGBA{90, 90, 90, 255})
		})
	}
}

func TestNothingIsDrawnOutsideAndNothingPanics(t *testing.T) {
	nan := float32(math.NaN())
	pen := evidence.NewPen()
	for _, f := range []*frame.Frame{
		plain(t, 640, 480, 1, 9), plain(t, 1, 1, 3, 1, 2, 3),
		plain(t, 3, 2000, 1, 9),
	} {
		marks := []evidence.Mark{
			{Name: "outside", Box: [4]float32{9000, 9000, 9001, 9001}},
			{
				Name: "NaN",
				Box:  [4]float32{nan, 0, 1, 1},
			},
			{Class: 77, Name: "huge", Box: [4]float32{-1e9, -1e9, 1e9, 1e9}},
			{
				Name: "top",
				Box:  [4]float32{0, 0, 5, 5},
			},
			{Name: "right", Box: [4]float32{635, 470, 700, 700}},
			{
				Name: "outline", Box: [4]float32{0, 0, 5, 5},
				Outline: [][2]float32{{-1e5, -1e5}, {1e5, 3}, {nan, 7}, {1e30, 2}, {2, 1e5}},
			},
		}
		raw, err := pen.Annotate(f, nil, evidence.Caption{Verdict: "UNKNOWN", Text: "…"}, marks, quality)
		require.Equal(t, f.Width, decode(t, raw, err).Bounds().Dx())
	}
	_, err := pen.Crop(plain(t, 64, 64, 1, 9), nil, evidence.Mark{Box: [4]float32{nan, 0, 1, 1}}, quality)
	require.ErrorIs(t, err, evidence.ErrFrame)
	_, err = pen.Annotate(&frame.Frame{Width: 9, Height: 9, Channels: 3, Stride: 27}, nil, evidence.Caption{},
		nil, quality)
	require.ErrorIs(t, err, evidence.ErrFrame)
}

func TestSheetsAreReduced(t *testing.T) {
	f := plain(t, 9000, 6000, 1, 90)
	pen := evidence.NewPen()
	t.Cleanup(pen.Close)
	mark := evidence.Mark{Name: "open", Score: 0.9, Box: [4]float32{3000, 3000, 6000, 4500}}
	raw, err := pen.Annotate(f, nil, evidence.Caption{Verdict: "FAIL"}, []evidence.Mark{mark}, quality)
	picture := decode(t, raw, err)
	require.Equal(t, 4500, picture.Bounds().Dx(), "every second pixel")
	banner := picture.Bounds().Dy() - 3000
	near(t, picture, 2250, banner+1800, color.RGBA{90, 90, 90, 255})
	near(t, picture, 1497, banner+1800, color.RGBA{213, 94, 0, 255})
	mark.Box = [4]float32{0, 0, 9000, 6000}
	raw, err = pen.Crop(f, nil, mark, quality)
	require.Equal(t, 800, decode(t, raw, err).Bounds().Dx())
}
