// Package evidence draws what an inspection found: the annotated frame, and crops of its defects.
package evidence

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// Sizes in parts of the frame's shorter side, so that pictures of all cameras read alike.
const (
	textParts   = 36
	strokeParts = 240
	minText     = 10 // pixels
	maxText     = 64
	minStroke   = 2
	padding     = 3 // a label's height is its text's plus that part of it on both sides
	fontDPI     = 72
)

// ErrFrame is returned for a frame that cannot be drawn on.
var ErrFrame = errors.New("no picture to draw on")

// Mark is one defect. Box is x1, y1, x2, y2 in frame pixels, right and bottom exclusive.
type Mark struct {
	Class int
	Name  string
	Score float32
	Box   [4]float32
	// Outline is drawn instead of the box, unless it is empty.
	Outline [][2]float32
}

// Caption is the line over the picture.
type Caption struct {
	Verdict string // PASS, FAIL, REWORK, UNKNOWN
	Text    string
}

// Pen draws and keeps its canvas and its font. Not safe for concurrent use.
type Pen struct {
	canvas   *image.RGBA // its bytes are blue, green, red, alpha
	typeface *opentype.Font
	face     font.Face
	size     int
	stroke   int
	encoder  encoder
	small    frame.Frame // a large one, reduced

	across, down []weight // of the pixels of a frame over a map
}

// NewPen makes a pen, to be closed. Its font is compiled in.
func NewPen() *Pen {
	typeface, err := opentype.Parse(gobold.TTF)
	if err != nil {
		panic("evidence: the font that is compiled in does not parse: " + err.Error())
	}
	return &Pen{typeface: typeface}
}

// overlay colours a frame that is drawn.
type overlay interface {
	// tint colours the frame below the banner.
	tint(p *Pen, f *frame.Frame, banner int)
	// legend says what the colours mean, at the right end of the line of text from top to bottom.
	legend(p *Pen, right, top, bottom int, background color.RGBA)
	// scaled is the overlay of the same frame in fewer pixels.
	scaled(across, down float32) overlay
}

// Annotate returns a JPEG of the frame below its caption, the marks framed and labelled. Beside a golden
// template, which may be nil, it is tinted where the two differ. A frame over 16 megapixels is reduced.
func (p *Pen) Annotate(f *frame.Frame, g *Golden, caption Caption, marks []Mark, quality int) (
	[]byte, error,
) {
	if g == nil {
		return p.annotate(f, nil, caption, marks, quality)
	}
	return p.annotate(f, g, caption, marks, quality)
}

func (p *Pen) annotate(f *frame.Frame, over overlay, caption Caption, marks []Mark, quality int) (
	[]byte, error,
) {
	if err := check(f); err != nil {
		return nil, err
	}
	whole := f
	f, marks, err := p.reduced(f, marks)
	if err != nil {
		return nil, err
	}
	if err = p.scaleTo(f); err != nil {
		return nil, err
	}
	banner := 2 * p.size
	p.blank(f.Width, f.Height+banner)
	p.paste(f, image.Rect(0, 0, f.Width, f.Height), image.Pt(0, banner))
	if over != nil {
		over = over.scaled(ratio(f.Width, whole.Width), ratio(f.Height, whole.Height))
		over.tint(p, f, banner)
	}
	for _, m := range slices.Backward(marks) { // the most certain on top
		p.mark(m, f, banner)
	}
	p.caption(caption, len(marks), f.Width, banner)
	if over != nil {
		over.legend(p, f.Width, 0, banner, ink())
	}
	return p.encoder.jpeg(p.canvas, quality)
}

// Crop returns a JPEG of one defect with a margin of half its size: beside a golden template, which may be
// nil, of the frame, the template and their difference side by side.
func (p *Pen) Crop(f *frame.Frame, g *Golden, m Mark, quality int) ([]byte, error) {
	if err := check(f); err != nil {
		return nil, err
	}
	box := rect(m.Box)
	margin := max(box.Dx(), box.Dy()) / 2
	if g != nil {
		margin = max(margin, context)
	}
	box = box.Inset(-margin).Intersect(image.Rect(0, 0, f.Width, f.Height))
	if box.Empty() {
		return nil, fmt.Errorf("%w: the defect is outside of the frame", ErrFrame)
	}
	if g != nil {
		if err := p.write(panelText); err != nil {
			return nil, err
		}
		p.beside(f, g, box, 0)
		return p.encoder.jpeg(p.canvas, quality)
	}
	if box.Dx()*box.Dy() > mostPixels {
		size := panel(box.Size())
		p.blank(size.X, size.Y)
		p.scaled(image.Rectangle{Max: size}, box, func(x, y int) uint32 { return pixel(f, x, y) })
		return p.encoder.jpeg(p.canvas, quality)
	}
	p.blank(box.Dx(), box.Dy())
	p.paste(f, box, image.Point{})
	return p.encoder.jpeg(p.canvas, quality)
}

func check(f *frame.Frame) error {
	if f.Width < 1 || f.Height < 1 || f.Channels != 1 && f.Channels != 3 ||
		f.Stride < f.Width*f.Channels || len(f.Pix) < (f.Height-1)*f.Stride+f.Width*f.Channels {
		return fmt.Errorf("%w: %d×%d×%d in %d bytes", ErrFrame, f.Width, f.Height, f.Channels, len(f.Pix))
	}
	return nil
}

func (p *Pen) scaleTo(f *frame.Frame) error {
	side := min(f.Width, f.Height)
	p.stroke = max(side/strokeParts, minStroke)
	return p.write(min(max(side/textParts, minText), maxText))
}

// write sets the height of text, in pixels.
func (p *Pen) write(size int) error {
	if size == p.size {
		return nil
	}
	face, err := opentype.NewFace(p.typeface, &opentype.FaceOptions{
		Size: float64(size), DPI: fontDPI, Hinting: font.HintingFull,
	})
	if err != nil {
		return fmt.Errorf("set font size: %w", err)
	}
	p.face, p.size = face, size
	return nil
}
