package pairing

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

const (
	// strip is how many rows of a sheet are made black and white at once.
	strip = 256
	// settled is how far, in pixels, a tile may lie from where it was sought: the strip of it that its
	// template does not reach stays well within the overlap of tiles.
	settled = 2
)

// Sheet is the template of frames that are seen in tiles: one bit a pixel. Immutable, safe for concurrent
// use.
type Sheet struct {
	width, height int
	whole         *plane.Plane
	copper        float64 // share of the pixels
}

// NewSheet prepares a template for frames of its own size, of which a plan's canvases hold tiles.
func NewSheet(plan *tensor.Plan, template *frame.Frame) (*Sheet, error) {
	threshold, err := plan.Sheet(template)
	if err != nil {
		return nil, fmt.Errorf("golden template: %w", err)
	}
	width, height := plan.Largest()
	if _, err := align.NewCut(min(width, template.Width), min(height, template.Height), 0); err != nil {
		return nil, fmt.Errorf("tiles of a golden template: %w", err)
	}
	canvas := tensor.NewCanvas(plan.Whole())
	defer canvas.Close()
	canvas.Hold(threshold)
	s := &Sheet{
		width: template.Width, height: template.Height, whole: plane.New(template.Width, template.Height),
	}
	for y := 0; y < s.height; y += strip {
		rows := template.Part(0, y, s.width, min(strip, s.height-y))
		if err := canvas.Fit(&rows); err != nil {
			return nil, fmt.Errorf("golden template: %w", err)
		}
		s.whole.PackRows(canvas.Plane(), y)
	}
	s.whole.Extend()
	s.copper = float64(s.whole.Count()) / float64(s.width*s.height)
	return s, nil
}

// Blank says that the template is all black, or all white.
func (s *Sheet) Blank() bool { return s.copper == 0 || s.copper == 1 }

// Size is that of the frames that it is for, in pixels.
func (s *Sheet) Size() (width, height int) { return s.width, s.height }

// At is a pixel of the template, 0 for copper or 255 for bare board. There is none beyond its border.
func (s *Sheet) At(x, y int) (v byte, known bool) {
	if x < 0 || y < 0 || x >= s.width || y >= s.height {
		return 0, false
	}
	if s.whole.Bits(x, y)&1 != 0 {
		return 0, true
	}
	return 255, true
}

// Tiles makes what moves the template onto the tiles of frames.
func (s *Sheet) Tiles() *Tiles { return &Tiles{sheet: s} }

// Tiles moves a sheet's template onto one frame's tiles after the other. Each is sought where the one before
// it was found, so that a long sheet may drift away from its template. Not safe for concurrent use.
type Tiles struct {
	sheet   *Sheet
	golden  *align.Golden
	aligner *align.Aligner
	size    [2]int // of a tile

	row         int // the y of the tiles under way
	first, last shift
}

// shift is where a board lies in its template, less where it lies in the frame, in pixels.
type shift struct{ x, y float64 }

// Of says whether these are the tiles of s.
func (t *Tiles) Of(s *Sheet) bool { return t.sheet == s }

// Begin starts a frame. The error is ErrUnaligned when it is of another size than the template.
func (t *Tiles) Begin(width, height int) error {
	t.row, t.first, t.last = 0, shift{}, shift{}
	if s := t.sheet; width != s.width || height != s.height {
		return fmt.Errorf("%w: it was captured from frames of %d×%d pixels, this one has %d×%d: "+
			"capture the template anew", ErrUnaligned, s.width, s.height, width, height)
	}
	return nil
}

// Seek takes what Shift said of a place in the frame, for the next Match there.
func (t *Tiles) Seek(x, y float64) {
	t.first = shift{x, y}
	t.last = t.first
}

// Match writes the moved template beside the tile that the canvas holds, whose corner lies at (x, y) of the
// frame. Tiles come row by row, from the left. Errors are as Matcher.Match's; Unseen is a share of the sheet.
func (t *Tiles) Match(c *tensor.Canvas, x, y int) (align.Fit, error) {
	g := c.Geometry()
	if err := t.turn(g.Width, g.Height); err != nil {
		return align.Fit{Mismatch: 1}, err
	}
	if y != t.row {
		t.row, t.last = y, t.first
	}
	at := t.window(x, y)
	fit := t.align(c, at)
	if far := max(math.Abs(fit.ShiftX), math.Abs(fit.ShiftY)); far > settled && fit.Aligned() {
		t.last = at.moved(fit, x, y)
		if next := t.window(x, y); next != at {
			at = next
			fit = t.align(c, at)
		}
	}
	if found := at.moved(fit, x, y); fit.Aligned() {
		t.last = found
		if x == 0 {
			t.first = t.last
		}
		fit.Unseen = t.unseen(x, y)
	}
	if err := unaligned(fit, align.MaxUnseen(t.sheet.width, t.sheet.height)); err != nil {
		return fit, fmt.Errorf("the tile at %d, %d: %w", x, y, err)
	}
	return fit, nil
}

// unseen is the share of the sheet that lies beyond the template's border, if it lies there as the tile at
// (x, y) does. What a tile's window leaves out elsewhere, its neighbours show.
func (t *Tiles) unseen(x, y int) float64 {
	across := beyond(x, t.size[0], t.sheet.width, t.last.x)
	down := beyond(y, t.size[1], t.sheet.height, t.last.y)
	return 1 - (1-across)*(1-down)
}

// beyond is the share of a sheet's side by which a tile reaches over the template's border.
func beyond(place, tile, sheet int, shift float64) float64 {
	before := -float64(place) - shift
	behind := float64(place+tile-sheet) + shift
	return max(before, behind, 0) / float64(sheet)
}

// Shift is where the tile matched last lies in the template, less where it lies in the frame, in pixels.
func (t *Tiles) Shift() (x, y float64) { return t.last.x, t.last.y }

// corner is that of a window of the template.
type corner struct{ x, y int }

// moved is the shift of a tile at (x, y) that fits the window so.
func (w corner) moved(fit align.Fit, x, y int) shift {
	return shift{float64(w.x-x) + fit.ShiftX, float64(w.y-y) + fit.ShiftY}
}

// window is where the tile at (x, y) should lie in the template, within its border.
func (t *Tiles) window(x, y int) corner {
	at := func(place int, shift float64, tile, sheet int) int {
		return min(max(place+int(math.Round(shift)), 0), sheet-tile)
	}
	return corner{
		at(x, t.last.x, t.size[0], t.sheet.width),
		at(y, t.last.y, t.size[1], t.sheet.height),
	}
}

func (t *Tiles) align(c *tensor.Canvas, at corner) align.Fit {
	t.golden.Cut(t.sheet.whole, at.x, at.y)
	return t.aligner.Align(c.Template(), c.Plane())
}

// turn makes memory for tiles of another size.
func (t *Tiles) turn(width, height int) error {
	if t.aligner != nil && t.size == [2]int{width, height} {
		return nil
	}
	golden, err := align.NewCut(width, height, t.sheet.copper)
	if err != nil {
		return err
	}
	t.golden, t.aligner, t.size = golden, align.New(golden), [2]int{width, height}
	return nil
}
