package pairing_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const side = 320

// product is a simulated line that makes one product without defects.
func product(n uint64) sim.Options {
	o := sim.DefaultOptions()
	o.Width, o.Height, o.Product, o.Clean = side, side, n, 1
	return o
}

// board is one of them as a camera brings it.
func board(tb testing.TB, o sim.Options, index uint64) *frame.Frame {
	tb.Helper()
	r, err := sim.NewRenderer(o)
	require.NoError(tb, err)
	f := &frame.Frame{}
	require.NoError(tb, f.Shape(o.Width, o.Height, 1))
	tb.Cleanup(f.Release)
	r.Render(index, f.Pix, nil)
	return f
}

// golden is a board's template, as another exposure shows it.
func golden(tb testing.TB, plan *tensor.Plan, o sim.Options) *pairing.Golden {
	tb.Helper()
	f := board(tb, o, 0)
	r, err := sim.NewRenderer(o)
	require.NoError(tb, err)
	r.Template(0, f.Pix)
	g, err := pairing.New(plan, f)
	require.NoError(tb, err)
	return g
}

func canvas(tb testing.TB, plan *tensor.Plan, f *frame.Frame) *tensor.Canvas {
	tb.Helper()
	c := tensor.NewCanvas(plan)
	tb.Cleanup(c.Close)
	require.NoError(tb, c.Fit(f))
	return c
}

func native(binarize string) *tensor.Plan {
	return tensor.Native(bundle.Preprocess{Binarize: binarize})
}

// model is the plan of a bundle that sees pairs in a square of the given side.
func model(size int) *tensor.Plan {
	scale, pad := 1.0/255, uint8(114)
	return tensor.NewPlan(
		bundle.Input{Width: size, Height: size, Channels: 2, Template: true, Layout: bundle.LayoutNCHW},
		bundle.Preprocess{
			Resize: bundle.Letterbox, Color: bundle.ColorGray, Scale: &scale, Pad: &pad,
			Mean: []float64{0, 0}, Std: []float64{1, 1}, Binarize: bundle.Otsu,
		})
}

func share(a, b []byte) float64 {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

func TestATemplateIsMovedOntoEachBoardOfItsProduct(t *testing.T) {
	for name, plan := range map[string]*tensor.Plan{
		"otsu": native(bundle.Otsu), "threshold": native("128"), "model": model(side),
	} {
		t.Run(name, func(t *testing.T) {
			o := product(3)
			m := golden(t, plan, o).Matcher()
			for index := range uint64(8) {
				c := canvas(t, plan, board(t, o, index))
				fit, err := m.Match(c)
				require.NoError(t, err)
				require.True(t, fit.Aligned())
				require.InDelta(t, fit.Residual, share(c.Plane(), c.Template()), 0.02)
				require.Less(t, share(c.Plane(), c.Template()), 0.03)
			}
		})
	}
}

func TestAFrameOfAnotherSizeSaysBothSizes(t *testing.T) {
	plan, o := native(bundle.Otsu), product(3)
	g := golden(t, plan, o)
	o.Width = 400
	fit, err := g.Matcher().Match(canvas(t, plan, board(t, o, 1)))
	require.ErrorIs(t, err, pairing.ErrUnaligned)
	require.ErrorContains(t, err, "captured from frames of 320×320 pixels, this one has 400×320")
	require.False(t, fit.Aligned())
}

func TestAnotherProductIsToldWithItsFigures(t *testing.T) {
	plan := native(bundle.Otsu)
	m := golden(t, plan, product(3)).Matcher()
	for _, other := range []uint64{1, 2, 4, 5} {
		c := canvas(t, plan, board(t, product(other), 0))
		fit, err := m.Match(c)
		require.ErrorIs(t, err, pairing.ErrUnaligned)
		require.Regexp(t, `: \d+\.\d % of the pixels differ \(\d\.\d\d of what strangers would, `+
			`at most 0\.20\), moved by -?\d+, -?\d+ px: is it the right board`, err.Error())
		require.False(t, fit.Aligned())
	}
	// nothing stays of it: the next board fits again
	_, err := m.Match(canvas(t, plan, board(t, product(3), 7)))
	require.NoError(t, err)
}

// A strip of the board that the template does not reach is not judged: it may be narrow only.
func TestABoardThatLiesTooFarOffToBeCoveredIsToldItsShare(t *testing.T) {
	plan, o := native(bundle.Otsu), product(3)
	f := board(t, o, 0)
	g, err := pairing.New(plan, f)
	require.NoError(t, err)
	for _, move := range [][2]float64{{0, 0}, {19, 0}, {0, -19}, {9, 9}} {
		_, err = g.Matcher().Match(canvas(t, plan, warped(t, f, fixed(move))))
		require.NoError(t, err, "%v", move)
	}
	for _, move := range [][2]float64{{21, 0}, {-21, 0}, {0, 21}, {13, -13}} {
		_, err = g.Matcher().Match(canvas(t, plan, warped(t, f, fixed(move))))
		require.ErrorIs(t, err, pairing.ErrUnaligned, "%v", move)
		require.Regexp(t, `leaves [678]\.\d % of the board uncovered, where at most 6\.2 % may be, moved by `+
			`(-?21, -?0|-?0, 21|13, -13) px: lay the board as it lay at the capture`, err.Error())
	}
}

func fixed(move [2]float64) func(x, y int) (dx, dy float64) {
	return func(int, int) (float64, float64) { return move[0], move[1] }
}

// A threshold that tells nothing apart makes a blank board, which is no board.
func TestABlankBoardDoesNotFit(t *testing.T) {
	plan := native(bundle.Otsu)
	f := board(t, product(3), 0)
	m := golden(t, plan, product(3)).Matcher()
	for _, shade := range []byte{0, 255} {
		copy(f.Pix, bytes.Repeat([]byte{shade}, len(f.Pix)))
		_, err := m.Match(canvas(t, plan, f))
		require.ErrorIs(t, err, pairing.ErrUnaligned)
	}
}

func TestEachWayToMakeBlackAndWhiteIsThePlans(t *testing.T) {
	o := product(3)
	dim := func(f *frame.Frame) *frame.Frame { // a lamp at a third of its light
		for i, v := range f.Pix {
			f.Pix[i] = v / 3
		}
		return f
	}
	for binarize, fits := range map[string]bool{bundle.Otsu: true, "43": true, "128": false} {
		plan := native(binarize)
		template, err := pairing.New(plan, board(t, o, 0))
		require.NoError(t, err)
		if binarize == "43" { // of a line that is always dim
			template, err = pairing.New(plan, dim(board(t, o, 0)))
			require.NoError(t, err)
		}
		_, err = template.Matcher().Match(canvas(t, plan, dim(board(t, o, 1))))
		require.Equal(t, fits, err == nil, "%s: %v", binarize, err)
	}
}

// Template and frame are letterboxed alike, and only what the frame covers is compared.
func TestFullHDIsMatchedInTheModelsSize(t *testing.T) {
	plan, o := model(640), product(3)
	o.Width, o.Height = 1920, 1080
	m := golden(t, plan, o).Matcher()
	c := canvas(t, plan, board(t, o, 1))
	_, err := m.Match(c)
	require.NoError(t, err)
	require.Len(t, c.Template(), 640*360)
	require.Len(t, c.Plane(), 640*360)
	square := product(3)
	square.Width, square.Height = 640, 640
	_, err = m.Match(canvas(t, plan, board(t, square, 1)))
	require.ErrorContains(t, err, "frames of 1920×1080 pixels, this one has 640×640")
	// of the same place on the model's input, but another camera's
	o.Width, o.Height = 1280, 720
	_, err = m.Match(canvas(t, plan, board(t, o, 1)))
	require.ErrorContains(t, err, "frames of 1920×1080 pixels, this one has 1280×720")
}

func TestATemplateThatCannotBeAlignedIsRefused(t *testing.T) {
	o := product(3)
	o.Width, o.Height = 64, 64
	f := board(t, o, 0)
	_, err := pairing.New(native(bundle.Otsu), f)
	require.NoError(t, err)
	f.Width = 63
	_, err = pairing.New(native(bundle.Otsu), f)
	require.ErrorIs(t, err, align.ErrSize)
	require.ErrorContains(t, err, "golden template: ")
	f.Width = 0
	_, err = pairing.New(native(bundle.Otsu), f)
	require.Error(t, err)
}

func TestMatchAllocatesNothing(t *testing.T) {
	for name, plan := range map[string]*tensor.Plan{"native": native(bundle.Otsu), "model": model(256)} {
		o := product(3)
		m := golden(t, plan, o).Matcher()
		frames := []*frame.Frame{board(t, o, 1), board(t, o, 2), board(t, o, 3)}
		c := canvas(t, plan, frames[0])
		n := 0
		part := func() {
			require.NoError(t, c.Fit(frames[n%len(frames)]))
			_, err := m.Match(c)
			require.NoError(t, err)
			n++
		}
		part()
		require.Zero(t, alloctest.Least(20, part), name)
	}
}

func TestABlankTemplateIsKnown(t *testing.T) {
	f := board(t, product(3), 0)
	for binarize, shade := range map[string]byte{bundle.Otsu: 200, "128": 127, "1": 255} {
		g, err := pairing.New(native(binarize), f)
		require.NoError(t, err)
		require.False(t, g.Matcher().Blank())
		copy(f.Pix, bytes.Repeat([]byte{shade}, len(f.Pix)))
		g, err = pairing.New(native(binarize), f)
		require.NoError(t, err)
		require.True(t, g.Matcher().Blank())
		f = board(t, product(3), 0)
	}
}
