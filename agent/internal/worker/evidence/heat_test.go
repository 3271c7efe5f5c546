package evidence_test

import (
	"image/color"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

// hot is a map of 8×8 places, of which all are cold but one.
func hot(x, y int, box [4]float32) *evidence.Heat {
	h := &evidence.Heat{Levels: make([]uint8, 64), Width: 8, Height: 8, Box: box}
	for i := range h.Levels {
		h.Levels[i] = 60
	}
	h.Levels[y*8+x] = 255
	return h
}

func TestWhatIsUnusualIsColouredAndTheRestIsTheFrame(t *testing.T) {
	f, pen := plain(t, 640, 640, 1, 100), evidence.NewPen()
	t.Cleanup(pen.Close)
	raw, err := pen.Heated(f, hot(2, 5, [4]float32{0, 0, 640, 640}), evidence.Caption{Verdict: "FAIL"},
		nil, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - 640
	gray := color.RGBA{100, 100, 100, 255}
	near(t, picture, 200, banner+440, color.RGBA{131, 37, 94, 255}) // five eighths of the hottest colour
	near(t, picture, 200, banner+300, gray)
	near(t, picture, 40, banner+440, gray)
	near(t, picture, 500, banner+100, gray)
	r, g, b, _ := picture.At(200, banner+400).RGBA() // half way to the next place
	require.Greater(t, r, g)
	require.Greater(t, g, b, "warm")
	raw, err = pen.Annotate(f, nil, evidence.Caption{Verdict: "FAIL"}, nil, quality)
	bare := decode(t, raw, err)
	require.NotEqual(t, bare.At(500, 20), picture.At(500, 20), "the legend")
}

// Of a wide frame the model's square input has a border above and below, which the map covers, too.
func TestAMapThatCoversMoreThanTheFrameLiesWhereItBelongs(t *testing.T) {
	f, pen := plain(t, 640, 320, 3, 100, 100, 100), evidence.NewPen()
	t.Cleanup(pen.Close)
	raw, err := pen.Heated(f, hot(1, 3, [4]float32{0, -160, 640, 480}), evidence.Caption{}, nil, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - 320
	near(t, picture, 120, banner+120, color.RGBA{131, 37, 94, 255})
	near(t, picture, 120, banner+280, color.RGBA{100, 100, 100, 255})
}

func TestAMapOfASheetIsReducedWithIt(t *testing.T) {
	f, pen := plain(t, 9000, 6000, 1, 100), evidence.NewPen()
	t.Cleanup(pen.Close)
	raw, err := pen.Heated(f, hot(7, 7, [4]float32{0, 0, 9000, 6000}), evidence.Caption{}, nil, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - 3000
	near(t, picture, 4300, banner+2850, color.RGBA{131, 37, 94, 255})
	near(t, picture, 100, banner+100, color.RGBA{100, 100, 100, 255})
}

func TestAMapThatIsNoneIsLeftOut(t *testing.T) {
	f, pen := plain(t, 64, 64, 1, 100), evidence.NewPen()
	t.Cleanup(pen.Close)
	want, err := pen.Annotate(f, nil, evidence.Caption{Verdict: "FAIL"}, nil, quality)
	require.NoError(t, err)
	infinite := float32(math.Inf(1))
	for _, bad := range []*evidence.Heat{
		nil,
		{},
		{Levels: make([]uint8, 3), Width: 2, Height: 2, Box: [4]float32{0, 0, 1, 1}},
		{Levels: make([]uint8, 4), Width: 2, Height: 2},
		{Levels: make([]uint8, 4), Width: -2, Height: -2, Box: [4]float32{0, 0, 1, 1}},
		{Levels: make([]uint8, 4), Width: 2, Height: 2, Box: [4]float32{0, 0, infinite, 1}},
		{Levels: make([]uint8, 4), Width: 2, Height: 2, Box: [4]float32{0, 0, float32(math.NaN()), 1}},
	} {
		got, failed := pen.Heated(f, bad, evidence.Caption{Verdict: "FAIL"}, nil, quality)
		require.NoError(t, failed)
		require.Equal(t, want, got)
	}
	_, err = pen.Heated(plain(t, 1, 1, 1, 7), hot(1, 1, [4]float32{0, 0, 1, 1}), evidence.Caption{}, nil,
		quality)
	require.NoError(t, err, "a picture too narrow for its legend")
}
