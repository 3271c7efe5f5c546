package evidence

import (
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// mostPixels bounds a picture, and with it the canvas: 64 MiB, where a line-scan sheet would take a gigabyte.
const mostPixels = 1 << 24

// Reduced is the frame as Annotate draws it. Its memory is the frame's own, or the pen's until the next call.
func (p *Pen) Reduced(f *frame.Frame) (*frame.Frame, error) {
	if err := check(f); err != nil {
		return nil, err
	}
	f, _, err := p.reduced(f, nil)
	return f, err
}

// reduced is a frame that is small enough to be drawn on, with its marks: as it is, or one pixel in step. Its
// memory is the pen's.
func (p *Pen) reduced(f *frame.Frame, marks []Mark) (*frame.Frame, []Mark, error) {
	step := int(math.Ceil(math.Sqrt(float64(f.Width) * float64(f.Height) / mostPixels)))
	if step <= 1 {
		return f, marks, nil
	}
	small := &p.small
	if err := small.Shape(max(f.Width/step, 1), max(f.Height/step, 1), f.Channels); err != nil {
		return nil, nil, err
	}
	for y := range small.Height {
		from, to := f.Pix[y*f.Height/small.Height*f.Stride:], small.Pix[y*small.Stride:]
		for x := range small.Width {
			copy(to[x*f.Channels:][:f.Channels], from[x*f.Width/small.Width*f.Channels:])
		}
	}
	scaled := make([]Mark, len(marks))
	across, down := ratio(small.Width, f.Width), ratio(small.Height, f.Height)
	for i, m := range marks {
		m.Box = [4]float32{m.Box[0] * across, m.Box[1] * down, m.Box[2] * across, m.Box[3] * down}
		m.Outline = slices.Clone(m.Outline)
		for i, at := range m.Outline {
			m.Outline[i] = [2]float32{at[0] * across, at[1] * down}
		}
		scaled[i] = m
	}
	return small, scaled, nil
}

func ratio(a, b int) float32 { return float32(a) / float32(b) }

// Close gives the pen's memory back.
func (p *Pen) Close() { p.small.Release() }
