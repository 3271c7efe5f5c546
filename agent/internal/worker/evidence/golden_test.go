package evidence_test

import (
	"bytes"
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

const scale = 2 // frame pixels for one of the planes

var (
	tintMissing = color.RGBA{255, 0, 128, 255}
	tintExtra   = color.RGBA{0, 184, 255, 255}
)

// board is a gray frame of 320×240 beside a template of half its size: a trace in both, whose edge is off by
// a pixel, a hole in it, and copper beside it.
func board(t *testing.T) (*frame.Frame, *evidence.Golden) {
	t.Helper()
	const width, height = 160, 120
	seen, wanted := bytes.Repeat([]byte{255}, width*height), bytes.Repeat([]byte{255}, width*height)
	paint := func(plane []byte, r image.Rectangle, v byte) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				plane[y*width+x] = v
			}
		}
	}
	paint(seen, image.Rect(40, 40, 80, 80), 0)
	paint(wanted, image.Rect(40, 40, 81, 80), 0)
	paint(seen, image.Rect(50, 50, 60, 60), 255)
	paint(seen, image.Rect(100, 50, 110, 60), 0)
	f := plain(t, scale*width, scale*height, 1, 0)
	for i := range f.Pix {
		f.Pix[i] = seen[i/f.Stride/scale*width+i%f.Stride/scale]
	}
	g := &evidence.Golden{}
	require.NoError(t, g.Take(seen, wanted, width, height))
	return f, g
}

func TestWhatDiffersFromTheTemplateIsTinted(t *testing.T) {
	f, g := board(t)
	require.InDelta(t, 200./160/120, g.Differing(), 1e-9, "an edge one pixel off is no difference")
	caption := evidence.Caption{Verdict: "FAIL", Text: "line1"}
	raw, err := evidence.NewPen().Annotate(f, g, caption, nil, quality)
	picture := decode(t, raw, err)
	banner := picture.Bounds().Dy() - f.Height
	mixed := func(c color.RGBA, v int) color.RGBA {
		part := func(s uint8) uint8 { return uint8((3*int(s) + v) / 4) }
		return color.RGBA{part(c.R), part(c.G), part(c.B), 255}
	}
	near(t, picture, 110, banner+110, mixed(tintMissing, 255))
	near(t, picture, 210, banner+110, mixed(tintExtra, 0))
	near(t, picture, 90, banner+90, color.RGBA{0, 0, 0, 255})
	near(t, picture, 20, banner+20, color.RGBA{255, 255, 255, 255})
	require.True(t, has(picture, image.Rect(0, 0, f.Width, banner), tintMissing), "the legend")
	require.True(t, has(picture, image.Rect(0, 0, f.Width, banner), tintExtra), "the legend")
}

func TestACropShowsBoardTemplateAndDifferenceBesideEachOther(t *testing.T) {
	f, g := board(t)
	mark := evidence.Mark{Box: [4]float32{100, 100, 120, 120}} // the hole
	raw, err := evidence.NewPen().Crop(f, g, mark, quality)
	picture := decode(t, raw, err)
	const side, gap = 260, 8 // 20 px with 16 around, five times as large
	size := picture.Bounds().Size()
	require.Equal(t, 3*side+2*gap, size.X)
	middle := size.Y - side/2
	near(t, picture, side/2, middle, color.RGBA{255, 255, 255, 255})
	near(t, picture, side+gap+side/2, middle, color.RGBA{0, 0, 0, 255})
	near(t, picture, 2*(side+gap)+side/2, middle, tintMissing)
	near(t, picture, 2*(side+gap)+side/4, middle, color.RGBA{191, 191, 191, 255})
}

func TestATemplateThatDoesNotFitIsShownBesideTheFrame(t *testing.T) {
	f, g := board(t)
	raw, err := evidence.NewPen().Misfit(f, g, evidence.Caption{Verdict: "UNKNOWN", Text: "line1"}, quality)
	picture := decode(t, raw, err)
	size := picture.Bounds().Size()
	require.Equal(t, 3*f.Width+16, size.X)
	top := size.Y - f.Height
	near(t, picture, 110, top+110, color.RGBA{255, 255, 255, 255})
	near(t, picture, f.Width+8+110, top+110, color.RGBA{0, 0, 0, 255})
	near(t, picture, 2*(f.Width+8)+110, top+110, tintMissing)
	near(t, picture, 2, 2, color.RGBA{90, 98, 110, 255})

	sheet := plain(t, 3000, 100, 3, 200, 40, 20)
	plane := make([]byte, 3000*100)
	require.NoError(t, g.Take(plane, plane, 3000, 100))
	raw, err = evidence.NewPen().Misfit(sheet, g, evidence.Caption{}, quality)
	require.Equal(t, 3*800+16, decode(t, raw, err).Bounds().Dx(), "a large one is reduced")
}

func TestPairsOfNoSizeAreRefused(t *testing.T) {
	g := &evidence.Golden{}
	for _, c := range [][4]int{{0, 0, 0, 0}, {4, 3, 2, 2}, {4, 4, 2, 1}, {4, 4, -2, -2}} {
		require.ErrorIs(t, g.Take(make([]byte, c[0]), make([]byte, c[1]), c[2], c[3]), evidence.ErrFrame)
	}
	require.NoError(t, g.Take([]byte{0}, []byte{255}, 1, 1))
	raw, err := evidence.NewPen().Crop(plain(t, 1, 1, 1, 7), g, evidence.Mark{Box: [4]float32{0, 0, 1, 1}},
		quality)
	require.Equal(t, 3*8+16, decode(t, raw, err).Bounds().Dx())
}

// All widths, since rows are pasted several pixels at a time.
func TestEachPixelIsPastedOnce(t *testing.T) {
	pen := evidence.NewPen()
	for width := 1; width < 12; width++ {
		for _, channels := range []int{1, 3} {
			f := plain(t, width, 2, channels, 10, 120, 240)
			raw, err := pen.Crop(f, nil, evidence.Mark{Box: [4]float32{0, 0, float32(width), 2}}, quality)
			picture := decode(t, raw, err)
			want := color.RGBA{240, 120, 10, 255}
			if channels == 1 {
				want = color.RGBA{10, 10, 10, 255}
			}
			for x := range width {
				near(t, picture, x, 0, want)
				near(t, picture, x, 1, want)
			}
		}
	}
}

func has(picture image.Image, part image.Rectangle, c color.RGBA) bool {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			off := max(apart(r, c.R), apart(g, c.G), apart(b, c.B))
			if off < 40 {
				return true
			}
		}
	}
	return false
}

func apart(wide uint32, want uint8) int {
	d := int(wide>>8) - int(want)
	return max(d, -d)
}
