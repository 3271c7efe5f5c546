package evidence

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/font"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// What a pixel of a board has otherwise than its template.
const (
	same    = iota
	missing // the template has copper there
	extra   // the board has
)

// Golden is a frame in black and white and the aligned template that it is compared with. Not safe for
// concurrent use; its zero value takes one pair after another and keeps its memory.
type Golden struct {
	board, template []byte
	width, height   int
	differ          []uint8 // [height*width]: same, missing or extra
}

// Take looks where the two differ. Both are [height*width] bytes of 0, copper, or 255, bare board, and cover
// the whole frame, perhaps in fewer pixels. They are kept and not changed until the next Take.
func (g *Golden) Take(board, template []byte, width, height int) error {
	if width < 1 || height < 1 || len(board) != width*height || len(template) != len(board) {
		return fmt.Errorf("%w: %d and %d bytes beside each other for %d×%d pixels", ErrFrame, len(board),
			len(template), width, height)
	}
	g.board, g.template, g.width, g.height = board, template, width, height
	if cap(g.differ) < len(board) {
		g.differ = make([]uint8, len(board))
	}
	g.differ = g.differ[:len(board)]
	clear(g.differ)
	for y := range height - 1 {
		g.row(y)
	}
	return nil
}

// row marks the squares of 2×2 pixels from y down that differ alike. What is thinner is what alignment leaves
// along edges: it would draw a line around each trace.
func (g *Golden) row(y int) {
	at, below := y*g.width, (y+1)*g.width
	b, t := g.board[at:below], g.template[at:below]
	b2, t2 := g.board[below:][:g.width], g.template[below:][:g.width]
	before := uint8(same)
	for x := range b {
		now := difference(b[x], t[x])
		if now != difference(b2[x], t2[x]) {
			now = same
		}
		if now != same && now == before {
			g.differ[at+x-1], g.differ[at+x] = now, now
			g.differ[below+x-1], g.differ[below+x] = now, now
		}
		before = now
	}
}

func difference(board, template uint8) uint8 {
	switch {
	case board == template:
		return same
	case board > template:
		return missing
	default:
		return extra
	}
}

// Differing is the share of the pixels that differ, thin lines left out, 0 to 1.
func (g *Golden) Differing() float64 {
	n := 0
	for _, d := range g.differ {
		if d != same {
			n++
		}
	}
	return float64(n) / float64(max(len(g.differ), 1))
}

// at is the place in the planes of a pixel of a frame.
func (g *Golden) at(f *frame.Frame, x, y int) int {
	return y*g.height/f.Height*g.width + x*g.width/f.Width
}

// missingColour and extraColour are bright, unlike those of frames, and apart for all eyes.
func missingColour() color.RGBA { return color.RGBA{255, 0, 128, 255} }
func extraColour() color.RGBA   { return color.RGBA{0, 184, 255, 255} }

func tints() [3]uint32 {
	return [...]uint32{missing: word(missingColour()), extra: word(extraColour())}
}

// tint colours what differs, three parts of four, so that the picture shows through.
func (g *Golden) tint(p *Pen, f *frame.Frame, banner int) {
	const quarter = 0x3f3f3f3f // of each sample
	colours := tints()
	for y := range f.Height {
		row := g.differ[y*g.height/f.Height*g.width:][:g.width]
		out := p.canvas.Pix[p.canvas.PixOffset(0, banner+y):]
		for x := range f.Width {
			d := row[x*g.width/f.Width]
			if d == same {
				continue
			}
			c := colours[d]
			was := binary.LittleEndian.Uint32(out[4*x:])
			mixed := c - (c>>2)&quarter + (was>>2)&quarter
			binary.LittleEndian.PutUint32(out[4*x:], mixed|opaque)
		}
	}
}

// scaled is itself: its planes cover the whole frame, whatever its size.
func (g *Golden) scaled(_, _ float32) overlay { return g }

// legend names the colours.
func (*Golden) legend(p *Pen, right, top, bottom int, background color.RGBA) {
	gap := p.size / 2
	middle := (top + bottom) / 2
	for _, l := range []struct {
		name string
		c    color.RGBA
	}{{"extra", extraColour()}, {"missing", missingColour()}} {
		width := font.MeasureString(p.face, l.name).Ceil()
		left := right - width - p.size - 2*gap
		p.fill(image.Rect(left-gap, top, right, bottom), background)
		p.fill(image.Rect(left, middle-gap, left+p.size, middle+gap), l.c)
		p.text(left+p.size+gap/2, middle, white(), l.name)
		right = left
	}
}
