// Package sim is a line camera without a camera: it renders bare printed boards in the manner of the DeepPCB
// data set (binarized line scans of about 48 pixels a millimetre, copper black), with the six defects of that
// data set and their ground truth, in pure Go.
//
// Board k of seed s is always the same bytes: on every architecture, in every order, whatever was rendered
// before. A test pins it with a digest; a change of the rendering is a change of that digest.
package sim

import (
	"errors"
	"fmt"
	"math"
)

const (
	minSide, maxSide = 64, 16384
	maxDefects       = 4096 // a sheet of the largest size has room for them
	// truthMargin is what the data set's labels leave on each side of the pixels that differ.
	truthMargin = 10
	maxShift    = 5 // pixels between a board and its template; border must hold it
)

// Purposes of the independent streams of random numbers of one board.
const (
	purposeGrain = iota + 1
	purposeRinging
	purposeLayout
	purposeExposure
	purposeDefects
	purposeNoise // and one more, for the template
)

// Options of the simulated line. A larger frame shows a larger board at the same scale.
type Options struct {
	Width, Height int     // pixels, 64 to 16384
	Seed          uint64  // of the whole line
	Defects       float64 // mean number on a defective board: 1 + Poisson(Defects - 1); 0 for none at all
	Clean         float64 // share of boards without any, 0 to 1
	Product       uint64  // all boards are of this one; 0: each has a layout of its own
	Exact         bool    // pixels are 0 or 255 only, as before the data set's JPEG compression
}

// DefaultOptions is a line that makes a clean board every other time.
func DefaultOptions() Options {
	return Options{Width: 640, Height: 640, Seed: 1, Defects: 1.5, Clean: 0.5}
}

// Validate returns every reason why no line can be made of the options.
func (o Options) Validate() error {
	var errs []error
	if o.Width < minSide || o.Width > maxSide {
		errs = append(errs,
			fmt.Errorf("width is %d; it must be from %d to %d pixels", o.Width, minSide, maxSide))
	}
	if o.Height < minSide || o.Height > maxSide {
		errs = append(errs,
			fmt.Errorf("height is %d; it must be from %d to %d pixels", o.Height, minSide, maxSide))
	}
	if o.Defects != 0 && !(o.Defects >= 1 && o.Defects <= maxDefects) {
		errs = append(errs, fmt.Errorf("defects is %v; it must be 0 or from 1 to %d, the mean on a "+
			"defective board (the share of boards without any is clean)", o.Defects, maxDefects))
	}
	if !(o.Clean >= 0 && o.Clean <= 1) {
		errs = append(errs, fmt.Errorf("clean is %v; it must be from 0 to 1", o.Clean))
	}
	return errors.Join(errs...)
}

// Classes names the defects in the order of Truth.Class.
func Classes() []string {
	return []string{"open", "short", "mousebite", "spur", "copper", "pin-hole"}
}

// Truth is a defect that was drawn: Class indexes Classes; Box is x1, y1, x2, y2 in frame pixels, right and
// bottom exclusive, with the data set's margin of ten pixels around what differs, clipped to the frame.
type Truth struct {
	Class int
	Box   [4]float32
}

// Renderer draws boards. It keeps its scratch memory, and is not safe for concurrent use.
type Renderer struct {
	opt     Options
	canvas  *canvas
	layout  layout
	scanner *scanner
	noise   [2]*jpegNoise // of the inspected board, of the template
	flaws   flaws
}

// NewRenderer returns a renderer, or the errors of Options.Validate.
func NewRenderer(o Options) (*Renderer, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("simulated camera: %w", err)
	}
	c := newCanvas(o.Width, o.Height)
	r := &Renderer{opt: o, canvas: c, scanner: newScanner(c)}
	r.noise = [2]*jpegNoise{newJPEGNoise(testScale), newJPEGNoise(templateScale)}
	r.layout.c = c
	return r, nil
}

// Render draws board index as the camera sees it into dst, [Height][Width] uint8 gray, and appends the
// defects on it to truth. It panics if dst is too short.
func (r *Renderer) Render(index uint64, dst []byte, truth []Truth) []Truth {
	dst = dst[:r.opt.Width*r.opt.Height]
	test, template := r.draw(index)
	r.scanner.scan(r.canvas, test, dst)
	truth = r.blemish(index, dst, template, truth)
	r.finish(index, 0, dst)
	return truth
}

// Template draws board index without its defects, as another exposure: its edges differ by a pixel or
// two, and the whole of it may be shifted, as in the data set.
func (r *Renderer) Template(index uint64, dst []byte) {
	dst = dst[:r.opt.Width*r.opt.Height]
	_, template := r.draw(index)
	r.scanner.scan(r.canvas, template, dst)
	r.finish(index, 1, dst)
}

// draw puts the board on the canvas and says how it passes the camera, as inspected and as template.
func (r *Renderer) draw(index uint64) (test, template exposure) {
	layout := index
	if r.opt.Product != 0 {
		layout = math.MaxUint64 - r.opt.Product // apart from those of boards
	}
	r.layout.r = stream(r.opt.Seed, layout, purposeLayout)
	drawBoard(&r.layout)
	x := stream(r.opt.Seed, index, purposeExposure)
	roughness := x.in(3, 18)
	test, template = expose(&x, roughness), expose(&x, roughness)
	template.dx, template.dy = shift(&x), shift(&x)
	if r.opt.Product != 0 { // boards of one product lie each a little otherwise
		test.dx, test.dy = x.in(-maxShift, maxShift), x.in(-maxShift, maxShift)
	}
	return test, template
}

func expose(x *random, roughness int) exposure {
	return exposure{
		bias: x.in(-24, 24), roughness: roughness,
		gx: x.in(0, grainSize-1), gy: x.in(0, grainSize-1),
	}
}

// shift is the misalignment that the data set's registration leaves: none on four boards of five, one pixel
// on most of the others.
func shift(x *random) int {
	sign := x.in(0, 1)*2 - 1
	switch {
	case x.chance(88):
		return 0
	case x.chance(60):
		return sign
	}
	return sign * x.in(2, maxShift)
}

func (r *Renderer) finish(index, kind uint64, dst []byte) {
	if r.opt.Exact {
		return
	}
	x := stream(r.opt.Seed, index, purposeNoise+kind)
	r.noise[kind].apply(dst, r.opt.Width, r.opt.Height, &x)
}
