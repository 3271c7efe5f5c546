package capture

import (
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
	"github.com/sightline-edge/sightline/models/bundle"
)

// tiled moves sheets tile by tile, as a station sees them, so that one may drift away from the first.
type tiled struct {
	plan    *tensor.Plan
	overlap int
	canvas  *tensor.Canvas // of one tile of the first sheet
	first   *frame.Frame
	tiles   *tiles.Plan
}

func newTiled(plan *tensor.Plan, overlap int) *tiled {
	half := plan.Binarized(bundle.Preprocess{Binarize: "128"}) // the first sheet is in black and white
	return &tiled{plan: plan, overlap: overlap, canvas: tensor.NewCanvas(half)}
}

func (t *tiled) begin(first *frame.Frame) (err error) {
	width, height := t.plan.Largest()
	t.first = first
	t.tiles, err = tiles.NewPlan(first.Width, first.Height, width, height, t.overlap)
	return err
}

// move takes the board for the template, and the first one for the board. The fit's shift is that of the tile
// which lies farthest off, its residual that of all tiles.
func (t *tiled) move(board *frame.Frame, to *votes) (align.Fit, error) {
	sheet, err := pairing.NewSheet(t.plan, board)
	if err != nil {
		return align.Fit{}, err
	}
	pairs, all := sheet.Tiles(), align.Fit{}
	if err := pairs.Begin(t.first.Width, t.first.Height); err != nil {
		return align.Fit{}, err
	}
	for i := range t.tiles.Len() {
		r := t.tiles.Tile(i)
		fit, err := t.match(pairs, r)
		if errors.Is(err, pairing.ErrUnaligned) {
			return fit, fmt.Errorf("%w, in the tile at %d, %d", stranger(fit), r.X, r.Y)
		}
		if err != nil {
			return align.Fit{}, err
		}
		if x, y := pairs.Shift(); math.Hypot(x, y) > math.Hypot(all.ShiftX, all.ShiftY) {
			all.ShiftX, all.ShiftY = x, y
		}
		all.Residual += fit.Residual / float64(t.tiles.Len())
		t.mark(r, to)
	}
	return all, nil
}

// match moves the board's part onto a tile of the first sheet, in the canvas.
func (t *tiled) match(pairs *pairing.Tiles, r tiles.Rect) (align.Fit, error) {
	tile := t.first.Part(r.X, r.Y, r.Width, r.Height)
	if err := t.canvas.Fit(&tile); err != nil {
		return align.Fit{}, err
	}
	return pairs.Match(t.canvas, r.X, r.Y)
}

// mark leaves half of the overlap to the tiles to the left and above, which saw more around it.
func (t *tiled) mark(r tiles.Rect, to *votes) {
	left, top := min(r.X, t.overlap/2), min(r.Y, t.overlap/2)
	part := image.Rect(r.X+left, r.Y+top, r.X+r.Width, r.Y+r.Height)
	to.mark(t.canvas.Template()[top*r.Width+left:], part, r.Width)
}

func (t *tiled) close() { t.canvas.Close() }
