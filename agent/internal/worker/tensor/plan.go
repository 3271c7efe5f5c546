package tensor

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	gray = 1
	bgr  = 3
)

// ErrFrame is wrapped by errors about a frame whose fields contradict each other.
var ErrFrame = errors.New("broken frame")

// Plan is the preprocessing of one bundle. Immutable, safe for concurrent use.
type Plan struct {
	width, height, channels int
	interleaved, stretched  bool
	bytes                   bool // the model takes 8-bit pixels and normalises them itself
	source                  [bgr]int
	pad                     uint8
	binary                  bool         // gray becomes 0 or 255
	threshold               uint8        // the least gray that becomes 255; 0: Otsu's of each frame
	template                bool         // the last channel is not the frame's
	native                  bool         // nothing is scaled, and the frame may have any size
	unscaled                bool         // nothing is scaled: what is smaller than the input has a border
	scale, offset           [bgr]float32 // a value of a plane is pixel × scale + offset
}

// NewPlan reads a manifest that bundle.Load has found valid.
func NewPlan(in bundle.Input, p bundle.Preprocess) *Plan {
	plan := &Plan{
		width: in.Width, height: in.Height, channels: in.Channels,
		interleaved: in.Layout == bundle.LayoutNHWC, stretched: p.Resize == bundle.Stretch,
		bytes: in.Type == bundle.TypeUint8, pad: *p.Pad,
		source: [bgr]int{0, 1, 2}, template: in.Template,
	}
	plan.binary, plan.threshold, _ = p.Binary() // valid: the bundle was checked
	if p.Color == bundle.ColorRGB {
		plan.source = [bgr]int{2, 1, 0}
	}
	for c := range in.Channels {
		plan.scale[c], plan.offset[c] = float32(*p.Scale/p.Std[c]), float32(-p.Mean[c]/p.Std[c])
	}
	return plan
}

// Native is the plan of an inspection without a model: gray pixels in the frame's own size, made black and
// white, beside a template.
func Native(p bundle.Preprocess) *Plan {
	plan := &Plan{channels: 2 * gray, native: true, template: true}
	plan.binary, plan.threshold, _ = p.Binary() // valid: the configuration was checked
	return plan
}

// Largest is the size of the largest frame, or part of one, that fits without scaling.
func (p *Plan) Largest() (width, height int) { return p.width, p.height }

// Whole is the plan for a frame of any size in its own pixels, for Canvas.Plane alone: there is no input of
// that size to fill.
func (p *Plan) Whole() *Plan {
	other := *p
	other.native = true
	return &other
}

// Binarized is the plan with another way to make black and white.
func (p *Plan) Binarized(way bundle.Preprocess) *Plan {
	other := *p
	other.binary, other.threshold, _ = way.Binary() // valid: the configuration was checked
	return &other
}

// Template says that the last channel is the golden template's.
func (p *Plan) Template() bool { return p.template }

// Monochrome says that the model takes no colour.
func (p *Plan) Monochrome() bool { return p.planes() == gray }

// planes is the number of channels that the frame fills.
func (p *Plan) planes() int {
	if p.template {
		return p.channels - 1
	}
	return p.channels
}

// Size is the number of values of the input: width × height × channels.
func (p *Plan) Size() int { return p.width * p.height * p.channels }

// at is the place of a value in the input.
func (p *Plan) at(channel, x, y int) int {
	if p.interleaved {
		return (y*p.width+x)*p.channels + channel
	}
	return (channel*p.height+y)*p.width + x
}

// Bytes says that the model takes uint8 instead of float32.
func (p *Plan) Bytes() bool { return p.bytes }

// Shape is the input's shape: [1,C,H,W] or [1,H,W,C].
func (p *Plan) Shape() []int64 {
	c, h, w := int64(p.channels), int64(p.height), int64(p.width)
	if p.interleaved {
		return []int64{1, h, w, c}
	}
	return []int64{1, c, h, w}
}

func (p *Plan) geometry(f *frame.Frame) Geometry {
	if p.native {
		return stretch(f.Width, f.Height, f.Width, f.Height)
	}
	if p.unscaled {
		return centred(f.Width, f.Height, p.width, p.height)
	}
	if p.stretched {
		return stretch(f.Width, f.Height, p.width, p.height)
	}
	return letterbox(f.Width, f.Height, p.width, p.height)
}

// admit says whether a frame can be fitted.
func (p *Plan) admit(f *frame.Frame) error {
	if p.unscaled && !p.native && (f.Width > p.width || f.Height > p.height) {
		return fmt.Errorf("%w: %d×%d pixels do not fit into %d×%d", ErrFrame, f.Width, f.Height,
			p.width, p.height)
	}
	return check(f)
}

func check(f *frame.Frame) error {
	row := f.Width * f.Channels
	switch {
	case f.Width < 1 || f.Height < 1:
		return fmt.Errorf("%w: %d×%d pixels", ErrFrame, f.Width, f.Height)
	case f.Channels != gray && f.Channels != bgr:
		return fmt.Errorf("%w: %d channels", ErrFrame, f.Channels)
	case f.Stride < row || len(f.Pix) < (f.Height-1)*f.Stride+row:
		return fmt.Errorf("%w: %d bytes are too few for %d×%d×%d", ErrFrame, len(f.Pix), f.Width, f.Height,
			f.Channels)
	}
	return nil
}
