//go:build cgo

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// tiling is how a frame is seen in tiles. The preview's own plan is then of the whole frame, unscaled.
type tiling struct {
	plan      *tensor.Plan // of one tile
	threshold uint8        // of the whole frame; 0: none, or the plan's own
	tiles     *tiles.Plan
}

// held is what canvases of a frame in tiles hold.
func (p *preview) held() uint8 {
	if p.tiling == nil {
		return 0
	}
	return p.tiling.threshold
}

// divide lays tiles over the frame, as a station does.
func (p *preview) divide() (err error) {
	t := p.tiling
	if t == nil {
		return nil
	}
	if t.threshold, err = t.plan.Sheet(&p.frame); err != nil {
		return err
	}
	width, height := t.plan.Largest()
	t.tiles, err = tiles.NewPlan(p.frame.Width, p.frame.Height, width, height, p.order.Overlap)
	if err == nil {
		p.answer.Tiles = t.tiles.Len()
	}
	return err
}

// alignTiles moves the template onto one tile after the other. It goes on behind one that does not fit, where
// a station stops.
func (p *preview) alignTiles(template *frame.Frame) error {
	sheet, err := pairing.NewSheet(p.tiling.plan, template)
	if err != nil {
		return err
	}
	template.Release() // a large sheet has no room to spare
	pairs := sheet.Tiles()
	if err = pairs.Begin(p.frame.Width, p.frame.Height); err != nil { // of another size: not compared
		p.answer.Alignment = alignment(align.Fit{Mismatch: 1}, err)
		return nil
	}
	c := tensor.NewCanvas(p.tiling.plan)
	defer c.Close()
	c.Hold(p.held())
	moved := make([]byte, p.frame.Width*p.frame.Height)
	for i := range p.tiling.tiles.Len() {
		if err = p.alignTile(pairs, c, p.tiling.tiles.Tile(i), moved); err != nil {
			return err
		}
	}
	p.answer.Alignment.Differing = p.part.golden.Differing()
	if p.answer.Alignment.Fits {
		p.golden = &evidence.Golden{}
		err = p.golden.Take(p.canvas.Plane(), moved, p.frame.Width, p.frame.Height)
	}
	return errors.Join(err, p.savePNG("template.png", moved))
}

// alignTile writes the moved template of one tile to its place in moved, and keeps the tile when it is the
// first that does not fit, or the worst of those that do.
func (p *preview) alignTile(pairs *pairing.Tiles, c *tensor.Canvas, r tiles.Rect, moved []byte) error {
	tile := p.frame.Part(r.X, r.Y, r.Width, r.Height)
	if err := c.Fit(&tile); err != nil {
		return err
	}
	fit, err := pairs.Match(c, r.X, r.Y)
	if err != nil && !errors.Is(err, pairing.ErrUnaligned) {
		return err
	}
	misfits := 1
	if err == nil {
		misfits = 0
		fit.ShiftX, fit.ShiftY = pairs.Shift()
	}
	p.compose(c.Template(), r, moved)
	a := p.answer.Alignment
	if a == nil || a.Fits && (err != nil || fit.Mismatch > a.Mismatch) {
		p.answer.Alignment = alignment(fit, err)
		p.answer.Alignment.Tile = &wire.Tile{X: r.X, Y: r.Y, Width: r.Width, Height: r.Height}
		p.answer.Alignment.Misfits = misfits
		return p.look(&tile, r, c)
	}
	a.Misfits += misfits
	return nil
}

// compose leaves half of the overlap to the tiles to the left and above.
func (p *preview) compose(template []byte, r tiles.Rect, moved []byte) {
	left, top := min(r.X, p.order.Overlap/2), min(r.Y, p.order.Overlap/2)
	for y := top; y < r.Height; y++ {
		copy(moved[(r.Y+y)*p.frame.Width+r.X+left:], template[y*r.Width:][left:r.Width])
	}
}

// look keeps a tile beside its template.
func (p *preview) look(tile *frame.Frame, r tiles.Rect, c *tensor.Canvas) error {
	p.part = closer{tile, &evidence.Golden{}, fmt.Sprintf("   tile at %d, %d", r.X, r.Y)}
	return p.part.golden.Take(slices.Clone(c.Plane()), slices.Clone(c.Template()), r.Width, r.Height)
}
