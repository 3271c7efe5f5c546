package evidence

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// The canvas is an image.RGBA, so that Go's drawing takes its fast ways, whose bytes are blue, green, red and
// alpha, so that OpenCV encodes it as it is. Each colour is swapped before it is drawn with.

const (
	opaque = 0xff000000
	grays  = 0x00010101 // times a gray: its pixel
)

func grayWord(v uint8) uint32 { return uint32(v)*grays | opaque }

// word is a colour as it stands in the canvas, read as little endian.
func word(c color.RGBA) uint32 {
	return uint32(c.B) | uint32(c.G)<<8 | uint32(c.R)<<16 | uint32(c.A)<<24
}

func swapped(c color.RGBA) *image.Uniform {
	return image.NewUniform(color.RGBA{c.B, c.G, c.R, c.A})
}

// blank makes the canvas a picture of this size, reusing its memory.
func (p *Pen) blank(width, height int) {
	n := 4 * width * height
	if p.canvas == nil || cap(p.canvas.Pix) < n {
		p.canvas = image.NewRGBA(image.Rect(0, 0, width, height))
		return
	}
	p.canvas.Pix, p.canvas.Stride, p.canvas.Rect = p.canvas.Pix[:n], 4*width, image.Rect(0, 0, width, height)
}

// paste copies a part of the frame, BGR or gray, to the canvas.
func (p *Pen) paste(f *frame.Frame, part image.Rectangle, at image.Point) {
	width := part.Dx()
	for y := range part.Dy() {
		src := f.Pix[(part.Min.Y+y)*f.Stride+part.Min.X*f.Channels:][:width*f.Channels]
		dst := p.canvas.Pix[p.canvas.PixOffset(at.X, at.Y+y):][:4*width]
		if f.Channels == 1 {
			pasteGray(dst, src)
		} else {
			pasteColour(dst, src)
		}
	}
}

// pasteGray writes two pixels at a time.
func pasteGray(dst, src []byte) {
	for len(src) >= 2 && len(dst) >= 8 {
		two := uint64(src[0])*grays | uint64(src[1])*grays<<32 | opaque<<32 | opaque
		binary.LittleEndian.PutUint64(dst, two)
		dst, src = dst[8:], src[2:]
	}
	if len(src) > 0 {
		binary.LittleEndian.PutUint32(dst, grayWord(src[0]))
	}
}

// pasteColour reads four pixels of three bytes and writes them as four words.
func pasteColour(dst, src []byte) {
	for len(src) >= 12 && len(dst) >= 16 {
		a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint32(src[8:])
		binary.LittleEndian.PutUint64(dst, a&0xffffff|a>>24&0xffffff<<32|opaque<<32|opaque)
		second := a>>48 | uint64(b&0xff)<<16 | uint64(b>>8)<<32
		binary.LittleEndian.PutUint64(dst[8:], second|opaque<<32|opaque)
		dst, src = dst[16:], src[12:]
	}
	for len(src) >= 3 && len(dst) >= 4 {
		binary.LittleEndian.PutUint32(dst, uint32(src[0])|uint32(src[1])<<8|uint32(src[2])<<16|opaque)
		dst, src = dst[4:], src[3:]
	}
}

func (p *Pen) fill(r image.Rectangle, c color.RGBA) {
	draw.Draw(p.canvas, r, swapped(c), image.Point{}, draw.Src)
}

// text writes with its middle line at y.
func (p *Pen) text(x, y int, c color.RGBA, s string) {
	m := p.face.Metrics()
	d := font.Drawer{
		Dst: p.canvas, Src: swapped(c), Face: p.face,
		Dot: fixed.Point26_6{X: fixed.I(x), Y: fixed.I(y) + m.CapHeight/2},
	}
	d.DrawString(s)
}
