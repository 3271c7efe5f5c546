package pairing_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

const (
	tile                        = 320
	sheetWidth, sheetHeight     = 1100, 900
	columns, rows               = 4, 3
	stepX, stepY            int = (sheetWidth - tile) / (columns - 1), (sheetHeight - tile) / (rows - 1)
)

// scan is a large board without defects.
func scan(tb testing.TB) *frame.Frame {
	tb.Helper()
	o := sim.DefaultOptions()
	o.Width, o.Height = sheetWidth, sheetHeight
	r, err := sim.NewRenderer(o)
	require.NoError(tb, err)
	f := shaped(tb, sheetWidth, sheetHeight)
	r.Template(5, f.Pix)
	return f
}

func shaped(tb testing.TB, width, height int) *frame.Frame {
	tb.Helper()
	f := &frame.Frame{}
	require.NoError(tb, f.Shape(width, height, 1))
	tb.Cleanup(f.Release)
	return f
}

// warped shows at (x, y) what lies at (x+dx, y+dy), the nearest pixel.
func warped(tb testing.TB, from *frame.Frame, move func(x, y int) (dx, dy float64)) *frame.Frame {
	tb.Helper()
	f := shaped(tb, from.Width, from.Height)
	for y := range f.Height {
		for x := range f.Width {
			dx, dy := move(x, y)
			fromX := min(max(int(math.Round(float64(x)+dx)), 0), f.Width-1)
			fromY := min(max(int(math.Round(float64(y)+dy)), 0), f.Height-1)
			f.Pix[y*f.Width+x] = from.Pix[fromY*from.Width+fromX]
		}
	}
	return f
}

// each fits one tile after the other, and shows what the match says.
func each(tb testing.TB, plan *tensor.Plan, t *pairing.Tiles, f *frame.Frame,
	look func(c *tensor.Canvas, x, y int, err error),
) {
	tb.Helper()
	threshold, err := plan.Sheet(f)
	require.NoError(tb, err)
	c := tensor.NewCanvas(plan)
	tb.Cleanup(c.Close)
	c.Hold(threshold)
	require.NoError(tb, t.Begin(f.Width, f.Height))
	for row := range rows {
		for column := range columns {
			x, y := column*stepX, row*stepY
			view := *f
			view.Width, view.Height, view.Pix = tile, tile, f.Pix[y*f.Width+x:]
			require.NoError(tb, c.Fit(&view))
			_, err := t.Match(c, x, y)
			look(c, x, y, err)
		}
	}
}

// A scan that is stretched by one in forty lies 34 px from its template in the end, farther than any single
// board may; each tile finds its place from its neighbour's.
func TestEachTileOfADriftingSheetHasItsTemplate(t *testing.T) {
	template := scan(t)
	plan := model(tile).Unscaled()
	sheet, err := pairing.NewSheet(plan, template)
	require.NoError(t, err)
	require.False(t, sheet.Blank())
	tiles := sheet.Tiles()
	require.True(t, tiles.Of(sheet))
	for name, move := range map[string]func(x, y int) (float64, float64){
		"as it is":  func(int, int) (float64, float64) { return 0, 0 },
		"moved":     func(int, int) (float64, float64) { return -17, 12 },
		"stretched": func(_, y int) (float64, float64) { return 3, -12 - float64(y)/40 },
		"turned":    func(x, y int) (float64, float64) { return float64(y) / 60, -float64(x) / 60 },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, plan, tiles, warped(t, template, move), func(c *tensor.Canvas, x, y int, err error) {
				require.NoError(t, err)
				require.Less(t, share(c.Plane(), c.Template()), 0.01, "the tile at %d, %d", x, y)
			})
		})
	}
}

func TestATileThatDoesNotFitIsNamed(t *testing.T) {
	template := scan(t)
	plan := model(tile).Unscaled()
	sheet, err := pairing.NewSheet(plan, template)
	require.NoError(t, err)
	f := warped(t, template, func(int, int) (float64, float64) { return 0, 0 })
	for y := stepY; y < stepY+tile; y++ { // the second tile of the second row is all copper
		for x := stepX; x < stepX+tile; x++ {
			f.Pix[y*f.Width+x] = 0
		}
	}
	shows := func(place, black int) bool { return place < black+tile && black < place+tile }
	apart := 0
	each(t, plan, sheet.Tiles(), f, func(_ *tensor.Canvas, x, y int, err error) {
		switch {
		case x == stepX && y == stepY:
			require.ErrorIs(t, err, pairing.ErrUnaligned)
			require.ErrorContains(t, err, "the tile at 260, 290: the golden template does not fit")
		case !shows(x, stepX) || !shows(y, stepY):
			require.NoError(t, err, "the tile at %d, %d is not lost with it", x, y)
			apart++
		}
	})
	require.Equal(t, rows, apart, "the last column shows nothing of it")
}

// Tiles within a sheet are always covered; those at its border as far as the sheet's template reaches.
func TestASheetThatLiesTooFarOffToBeCoveredIsTold(t *testing.T) {
	template := scan(t)
	plan := model(tile).Unscaled()
	sheet, err := pairing.NewSheet(plan, template)
	require.NoError(t, err)
	f := warped(t, template, fixed([2]float64{-22, -20}))
	inside := 0
	each(t, plan, sheet.Tiles(), f, func(_ *tensor.Canvas, x, y int, err error) {
		if x == 0 && y == 0 { // 22 of 1100 and 20 of 900
			require.ErrorIs(t, err, pairing.ErrUnaligned)
			require.ErrorContains(t, err, "the tile at 0, 0: the golden template does not fit: "+
				"it leaves 4.2 % of the board uncovered, where at most 3.0 % may be, moved by -22, -20 px")
			return
		}
		require.NoError(t, err, "%d, %d", x, y) // a strip at one side alone may be
		inside++
	})
	require.Equal(t, columns*rows-1, inside)
}

// A panel's rail is bare, and a spot of copper on it is a defect; were it a board, nothing would be known
// of it.
func TestASpotInABareTileIsNoStranger(t *testing.T) {
	template := scan(t)
	for y := range stepY {
		for x := range tile + 8 {
			template.Pix[y*template.Width+x] = 255
		}
	}
	plan := model(tile).Unscaled()
	sheet, err := pairing.NewSheet(plan, template)
	require.NoError(t, err)
	f := warped(t, template, func(int, int) (float64, float64) { return 0, 0 })
	for y := 100; y < 145; y++ {
		for x := 100; x < 145; x++ {
			f.Pix[y*f.Width+x] = 0
		}
	}
	each(t, plan, sheet.Tiles(), f, func(c *tensor.Canvas, x, y int, err error) {
		require.NoError(t, err)
		if x == 0 && y == 0 {
			require.InDelta(t, 45.0*45/tile/tile, share(c.Plane(), c.Template()), 0.005)
		}
	})
}

func TestTilesThatAreTooSmallToAlignAreRefusedWithTheirTemplate(t *testing.T) {
	_, err := pairing.NewSheet(model(tile).Unscaled(), shaped(t, sheetWidth, 63))
	require.ErrorIs(t, err, align.ErrSize)
}

func TestASheetOfAnotherSizeSaysBothSizes(t *testing.T) {
	sheet, err := pairing.NewSheet(model(tile).Unscaled(), scan(t))
	require.NoError(t, err)
	err = sheet.Tiles().Begin(sheetWidth, sheetHeight+1)
	require.ErrorIs(t, err, pairing.ErrUnaligned)
	require.ErrorContains(t, err, "frames of 1100×900 pixels, this one has 1100×901")
}

func TestASheetOfOneShadeIsBlank(t *testing.T) {
	for _, shade := range []byte{0, 255} {
		f := shaped(t, sheetWidth, sheetHeight)
		for i := range f.Pix {
			f.Pix[i] = shade
		}
		sheet, err := pairing.NewSheet(model(tile).Unscaled(), f)
		require.NoError(t, err)
		require.True(t, sheet.Blank())
	}
	_, err := pairing.NewSheet(model(tile).Unscaled(), &frame.Frame{})
	require.ErrorIs(t, err, tensor.ErrFrame)
}

func TestMatchingTilesAllocatesNothing(t *testing.T) {
	template := scan(t)
	plan := model(tile).Unscaled()
	sheet, err := pairing.NewSheet(plan, template)
	require.NoError(t, err)
	tiles := sheet.Tiles()
	c := canvas(t, plan, &frame.Frame{
		Width: tile, Height: tile, Channels: 1, Stride: template.Stride, Pix: template.Pix,
	})
	require.Zero(t, alloctest.Least(5, func() {
		require.NoError(t, tiles.Begin(sheetWidth, sheetHeight))
		_, err := tiles.Match(c, 0, 0)
		require.NoError(t, err)
	}))
}
