package worker

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// besideSheet puts the template beside what is drawn of a frame that is seen in tiles. One tile is aligned
// for each close-up, and none for the picture of the whole, where the template lies as the inspection found
// it. It takes three bytes for each pixel that is drawn, at most 48 MiB. One goroutine at a time.
type besideSheet struct {
	whole, tile *tensor.Canvas // nil: closed
	moved       []byte         // the template, in the picture of the whole
	all, one    evidence.Golden
	pairs       *pairing.Tiles
	part        frame.Frame // of the picture's frame
}

func (b *besideSheet) open(plan *tensor.Plan) {
	b.whole, b.tile = tensor.NewCanvas(plan.Whole()), tensor.NewCanvas(plan)
}

func (b *besideSheet) close() {
	if b.whole != nil {
		b.whole.Close()
		b.tile.Close()
	}
	*b = besideSheet{}
}

// look returns the template beside the whole frame, or beside the tile that it does not fit.
func (b *besideSheet) look(pic *picture, pen *evidence.Pen) (view, error) {
	t := pic.trail
	switch {
	case t == nil: // of another size: they were not compared
		return view{misfit: true}, nil
	case t.misfit != none:
		r := t.tiles.Tile(t.misfit)
		v := view{misfit: true, where: fmt.Sprintf(" the tile at %d, %d", r.X, r.Y)}
		if _, err := b.align(pic, r, t.before(t.misfit)); err != nil {
			return v, err
		}
		v.frame, v.golden = &b.part, &b.one
		return v, nil
	case !t.complete(): // the inspection ended before
		return view{}, nil
	}
	small, err := pen.Reduced(pic.frame)
	if err != nil {
		return view{}, err
	}
	b.whole.Hold(t.threshold)
	if err = b.whole.Fit(small); err != nil {
		return view{}, err
	}
	if n := small.Width * small.Height; cap(b.moved) < n {
		b.moved = make([]byte, n)
	}
	b.moved = b.moved[:small.Width*small.Height]
	t.move(b.moved, b.whole.Plane(), small.Width, small.Height)
	return view{golden: &b.all}, b.all.Take(b.whole.Plane(), b.moved, small.Width, small.Height)
}

// align moves the template onto a part of the frame, from where it is thought to lie, and says whether it
// fits.
func (b *besideSheet) align(pic *picture, r tiles.Rect, from shift) (fits bool, err error) {
	t := pic.trail
	b.part = pic.frame.Part(r.X, r.Y, r.Width, r.Height)
	b.tile.Hold(t.threshold)
	if err = b.tile.Fit(&b.part); err != nil {
		return false, err
	}
	if b.pairs == nil || !b.pairs.Of(t.template) {
		b.pairs = t.template.Tiles()
	}
	if err = b.pairs.Begin(pic.frame.Width, pic.frame.Height); err != nil {
		return false, err
	}
	b.pairs.Seek(from.x, from.y)
	_, err = b.pairs.Match(b.tile, r.X, r.Y)
	if err != nil && !errors.Is(err, pairing.ErrUnaligned) {
		return false, err
	}
	return err == nil, taken(&b.one, b.tile)
}

// closeUp is what a crop is drawn of.
type closeUp struct {
	frame  *frame.Frame
	golden *evidence.Golden // nil: nothing beside it
	mark   evidence.Mark    // in the frame's pixels
}

// around returns a part of the sheet, as large as a tile, with a defect in its middle. A defect that is
// larger is shown without its template.
func (b *besideSheet) around(pic *picture, m evidence.Mark) (closeUp, error) {
	alone := closeUp{frame: pic.frame, mark: m}
	t := pic.trail
	if !t.complete() {
		return alone, nil
	}
	r := t.tiles.Tile(0)
	x, y := (m.Box[0]+m.Box[2])/2, (m.Box[1]+m.Box[3])/2
	if m.Box[2]-m.Box[0] >= float32(r.Width) || m.Box[3]-m.Box[1] >= float32(r.Height) {
		return alone, nil
	}
	r.X = min(max(int(x)-r.Width/2, 0), pic.frame.Width-r.Width)
	r.Y = min(max(int(y)-r.Height/2, 0), pic.frame.Height-r.Height)
	fits, err := b.align(pic, r, t.at(r.X+r.Width/2, r.Y+r.Height/2))
	if err != nil || !fits {
		return alone, err
	}
	left, top := float32(r.X), float32(r.Y)
	m.Box = [4]float32{m.Box[0] - left, m.Box[1] - top, m.Box[2] - left, m.Box[3] - top}
	return closeUp{&b.part, &b.one, m}, nil
}
