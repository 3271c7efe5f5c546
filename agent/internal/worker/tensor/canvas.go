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
	shown    frame.Frame // a view of the frame that it holds
	geometry Geometry
	pix      []byte
	stride   int
	channels int
	sampled  []byte // what take took, or binarize made
	template []byte // the template's plane, width × height of the geometry
	paired   bool   // template is of this frame
	held     uint8  // the threshold of a whole sheet; 0: each frame has its own
}

// NewCanvas makes an empty canvas. Close frees it.
func NewCanvas(plan *Plan) *Canvas {
	return &Canvas{plan: plan, scaler: newScaler()}
}

// Fit scales the frame, and makes gray of colour where the model takes gray.
func (c *Canvas) Fit(f *frame.Frame) error {
	if err := c.plan.admit(f); err != nil {
		return err
	}
	c.shown = f.Part(0, 0, f.Width, f.Height)
	c.geometry, c.channels = c.plan.geometry(f), f.Channels
	width, height := c.geometry.Width, c.geometry.Height
	ratio := oddRatio(f, width, height)
	c.pix, c.stride = f.Pix, f.Stride
	if ratio == 0 {
		scaled, err := c.scaler.scale(f, width, height)
		if err != nil {
			return err
		}
		c.pix, c.stride, ratio = scaled, width*f.Channels, 1
	}
	if toGray := f.Channels != gray && c.plan.planes() == gray; ratio > 1 || toGray {
		c.take(ratio, toGray)
	}
	if c.plan.binary {
		c.binarize()
	}
	c.paired = false
	return nil
}

// binarize makes 0 or 255 of the picture, rows packed.
func (c *Canvas) binarize() {
	width, height := c.geometry.Width, c.geometry.Height
	from, stride := c.pix, c.stride
	c.sampled = grow(c.sampled, width*height)
	threshold := c.plan.threshold
	if threshold == 0 {
		threshold = c.held
	}
	if threshold == 0 {
		threshold = otsu(from, width, height, stride)
	}
	for y := range height {
		binarize(c.sampled[y*width:][:width], from[y*stride:][:width], threshold)
	}
	c.pix, c.stride = c.sampled, width
}

// Plane is the frame in black and white, 0 or 255, rows packed, width × height of the geometry. Valid until
// the next Fit; nil when the plan keeps gray.
func (c *Canvas) Plane() []byte {
	if !c.plan.binary {
		return nil
	}
	return c.pix[:c.geometry.Width*c.geometry.Height]
}

// Template is the plane of the last channel, laid out as Plane: whoever asks for it writes it, before Fill.
func (c *Canvas) Template() []byte {
	c.template = grow(c.template, c.geometry.Width*c.geometry.Height)
	c.paired = true
	return c.template
}

// take replaces the picture by one pixel in ratio of it, from the middle of each square.
func (c *Canvas) take(ratio int, toGray bool) {
	centre := ratio / 2
	at := centre*c.stride + centre*c.channels
	width, height, given := c.geometry.Width, c.geometry.Height, c.channels
	s := sampling{width: width, height: height, step: ratio * given, stride: ratio * c.stride}
	if toGray {
		c.channels = gray
	}
	c.sampled = grow(c.sampled, width*height*c.channels)
	take(c.sampled, c.pix, at, s, given, toGray)
	c.pix, c.stride = c.sampled, width*c.channels
}

// Hold takes the threshold of a sheet for its parts, from Plan.Sheet.
func (c *Canvas) Hold(threshold uint8) { c.held = threshold }

// Geometry is that of the frame last fitted.
func (c *Canvas) Geometry() Geometry { return c.geometry }

// Frame is the frame last fitted, in its own pixels: valid until it is released, and not to be released here.
func (c *Canvas) Frame() *frame.Frame { return &c.shown }

// Close frees the scaler's memory.
func (c *Canvas) Close() {
	c.pix = nil
	c.scaler.close()
}

// Input is the memory that the model reads: Floats or Bytes, of Plan.Size values an image.
type Input struct {
	Floats []float32
	Bytes  []uint8

	bordered Geometry // the border outside of this is in place
}

// NewInput makes the memory of so many images, one behind the other.
func NewInput(p *Plan, images int) *Input {
	if p.bytes {
		return &Input{Bytes: make([]uint8, images*p.Size())}
	}
	return &Input{Floats: make([]float32, images*p.Size())}
}

// Images are the parts of the memory that one image has each, to be filled.
func (in *Input) Images(p *Plan) []*Input {
	size := p.Size()
	var images []*Input
	for first := 0; first < max(len(in.Bytes), len(in.Floats)); first += size {
		image := &Input{}
		if p.bytes {
			image.Bytes = in.Bytes[first:][:size:size]
		} else {
			image.Floats = in.Floats[first:][:size:size]
		}
		images = append(images, image)
	}
	return images
}
