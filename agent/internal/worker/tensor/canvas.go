package tensor

import (
	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// scaler resizes pictures as cv2.resize with INTER_LINEAR does, within one grey level. The result is its
// own memory, rows packed, until the next call.
type scaler interface {
	scale(f *frame.Frame, width, height int) ([]byte, error)
	close()
}

// Canvas holds one frame in the model's size, 8 bits a sample, between preprocessing and inference. It
// refers to the frame itself when that needs no scaling, so the frame is not released before Fill. Not safe
// for concurrent use.
type Canvas struct {
	plan     *Plan
	scaler   scaler
	geometry Geometry
	pix      []byte
	stride   int
	channels int
	sampled  []byte // what decimation took
}

// NewCanvas makes an empty canvas. Close frees it.
func NewCanvas(plan *Plan) *Canvas {
	return &Canvas{plan: plan, scaler: newScaler()}
}

// Fit scales the frame.
func (c *Canvas) Fit(f *frame.Frame) error {
	if err := check(f); err != nil {
		return err
	}
	c.geometry, c.channels = c.plan.geometry(f), f.Channels
	if c.geometry.unscaled() {
		c.pix, c.stride = f.Pix, f.Stride
		return nil
	}
	if ratio := oddRatio(f, c.geometry.Width, c.geometry.Height); ratio != 0 {
		c.sample(f, ratio)
		return nil
	}
	pix, err := c.scaler.scale(f, c.geometry.Width, c.geometry.Height)
	c.pix, c.stride = pix, c.geometry.Width*f.Channels
	return err
}

// sample fits the frame by decimation.
func (c *Canvas) sample(f *frame.Frame, ratio int) {
	if c.plan.channels == gray {
		c.channels = gray
	}
	width, height := c.geometry.Width, c.geometry.Height
	c.stride = width * c.channels
	c.sampled = grow(c.sampled, c.stride*height)
	decimate(c.sampled, f, height, ratio, c.plan.channels == gray)
	c.pix = c.sampled
}

// Geometry is that of the frame last fitted.
func (c *Canvas) Geometry() Geometry { return c.geometry }

// Close frees the scaler's memory.
func (c *Canvas) Close() {
	c.pix = nil
	c.scaler.close()
}

// Input is the memory that the model reads: Floats or Bytes, of Plan.Size values.
type Input struct {
	Floats []float32
	Bytes  []uint8

	bordered Geometry // the border outside of this is in place
}

// NewInput makes the memory for a plan.
func NewInput(p *Plan) *Input {
	if p.bytes {
		return &Input{Bytes: make([]uint8, p.Size())}
	}
	return &Input{Floats: make([]float32, p.Size())}
}

// Fill writes what the canvas holds into the input. The border is written only when it has moved.
func (c *Canvas) Fill(in *Input) {
	p, border := c.plan, in.bordered != c.geometry
	in.bordered = c.geometry
	if p.bytes {
		fill(c, in.Bytes, [bgr]*[256]uint8{&p.levels, &p.levels, &p.levels}, border)
		return
	}
	fill(c, in.Floats, [bgr]*[256]float32{&p.floats[0], &p.floats[1], &p.floats[2]}, border)
}
