package decode

import (
	"errors"
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

const (
	maxPixels = 1 << 24 // of a mask: 4096×4096
	// maxProducts bounds the work for a mask: 32 prototypes of 512×512, or 256 of 181×181.
	maxProducts = 1 << 23
	// maskRoughness is how far an outline may be off the line where logits pass through zero.
	maskRoughness = 0.2
)

// segments are boxes with masks: each candidate has coefficients, and the logits of its mask are the sum of
// the prototypes [1, M, h, w] weighted by them (Bolya et al., YOLACT, 2019). A pixel of the prototypes is in
// the mask when its logit is over 0, a probability over one half, and its middle in the box.
type segments struct {
	candidates             *selection
	prototypes, wide, high int
	// Coefficient k of a cell is the output's value base + cell·perCell + k·perRow.
	base, perCell, perRow int
	scaleX, scaleY        float64 // input pixels of a mask's pixel

	mask     logits
	parts    *parts
	largest  part
	classes  []int16
	scores   []float32
	border   border
	outlines outlines
}

// logits are of the pixels in a rectangle of a grid.
type logits struct {
	values         []float32 // row by row, of the whole grid
	wide           int
	x1, y1, x2, y2 int
}

func (l *logits) in(x, y int) bool { return l.inside(x, y) && l.values[y*l.wide+x] > 0 }

func (l *logits) inside(x, y int) bool { return x >= l.x1 && x < l.x2 && y >= l.y1 && y < l.y2 }

func newYOLOv8Seg(m *bundle.Manifest, ports []Port) (family, error) {
	out := &ports[0]
	s, err := newSegments(m, &ports[1])
	if err = errors.Join(out.shaped(3, "the decoder yolov8-seg reads predictions [1 4+classes+M N]"),
		err); err != nil {
		return nil, err
	}
	if err = out.classes(out.Dims[1]-boxRows-int64(s.prototypes), m); err != nil {
		return nil, err
	}
	if out.Dims[2] > maxCells {
		return nil, fmt.Errorf("output %q has %d cells, over %d", out.Name, out.Dims[2], maxCells)
	}
	y := yolov8{len(m.Classes), int(out.Dims[2])}
	s.base, s.perCell, s.perRow = (boxRows+y.classes)*y.cells, 1, y.cells
	s.candidates = newSelection(m, yolov8Seg{y, s.prototypes}, y.cells)
	return s, nil
}

func newYOLOv5Seg(m *bundle.Manifest, ports []Port) (family, error) {
	out := &ports[0]
	s, err := newSegments(m, &ports[1])
	if err = errors.Join(out.shaped(3, "the decoder yolov5-seg reads predictions [1 N 5+classes+M]"),
		err); err != nil {
		return nil, err
	}
	width := out.Dims[2]
	if err = out.classes(width-objectRow-1-int64(s.prototypes), m); err != nil {
		return nil, err
	}
	if out.Dims[1] > maxCells {
		return nil, fmt.Errorf("output %q has %d cells, over %d", out.Name, out.Dims[1], maxCells)
	}
	y := yolov5{rows{classes: len(m.Classes), cells: int(out.Dims[1]), more: s.prototypes}}
	s.base, s.perCell, s.perRow = objectRow+1+y.classes, int(width), 1
	s.candidates = newSelection(m, y, y.cells)
	return s, nil
}

// newSegments reads what the prototypes' output says.
func newSegments(m *bundle.Manifest, out *Port) (*segments, error) {
	if err := out.shaped(4, "its prototypes are [1 M h w]"); err != nil {
		return nil, err
	}
	count, high, wide := out.Dims[1], out.Dims[2], out.Dims[3]
	if least, most := min(count, high, wide), max(count, high, wide); least < 1 || most > maxPixels ||
		high*wide > maxPixels || count*high*wide > maxProducts {
		return nil, fmt.Errorf("output %q is %s: prototypes are masks of at most %d pixels together",
			out.Name, onnxfile.Shape(out.Dims), maxProducts)
	}
	s := &segments{
		prototypes: int(count), wide: int(wide), high: int(high),
		scaleX: float64(m.Input.Width) / float64(wide), scaleY: float64(m.Input.Height) / float64(high),
		mask:    logits{values: make([]float32, wide*high), wide: int(wide)},
		classes: make([]int16, wide), scores: make([]float32, wide),
		border: newBorder(maskRoughness), outlines: newOutlines(m, wire.MaxCorners),
	}
	s.parts = newParts(s.wide, s.larger)
	return s, nil
}

// yolov8Seg is an output of [1, 4+classes+M, N]: yolov8's, and the coefficients in its last rows.
type yolov8Seg struct {
	yolov8
	coefficients int
}

func (y yolov8Seg) collect(s *selection, outputs [][]float32) error {
	output, rest := outputs[0], y.coefficients*y.cells
	if want := (boxRows+y.classes)*y.cells + rest; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	return y.yolov8.collect(s, [][]float32{output[:len(output)-rest]})
}

func (s *segments) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if want := s.prototypes * s.wide * s.high; len(outputs[1]) != want {
		return fmt.Errorf("%w: %d values of prototypes instead of %d", ErrOutput, len(outputs[1]), want)
	}
	if err := s.candidates.pick(d, outputs); err != nil {
		return err
	}
	s.outlines.reset()
	for i := range s.candidates.candidates {
		c := &s.candidates.candidates[i]
		box, inside := toFrame(c.box, g)
		if !inside {
			continue
		}
		found := detect.Detection{Class: int(c.class), Score: c.score, Box: box}
		if !d.full() {
			pixels, err := s.mix(c, outputs, g)
			if err != nil {
				return err
			}
			found.Outline, found.Area = s.outline(pixels, g)
		}
		d.keep(found)
	}
	return nil
}

// mix makes the mask of a candidate, as far as its box and the frame go, and finds the largest of its parts.
// It returns the pixels of all of them.
func (s *segments) mix(c *candidate, outputs [][]float32, g tensor.Geometry) (pixels int, err error) {
	m := &s.mask
	m.x1, m.x2 = middles(max(float64(c.box[0]), float64(g.Left)),
		min(float64(c.box[2]), float64(g.Left+g.Width)), s.scaleX, s.wide)
	m.y1, m.y2 = middles(max(float64(c.box[1]), float64(g.Top)),
		min(float64(c.box[3]), float64(g.Top+g.Height)), s.scaleY, s.high)
	s.largest = part{}
	s.parts.reset() // a mask that was refused ended in the middle
	if m.x1 >= m.x2 {
		return 0, nil
	}
	for x := range s.classes {
		s.classes[x] = none
	}
	for y := m.y1; y < m.y2; y++ {
		row := m.values[y*s.wide:][m.x1:m.x2]
		s.sum(row, c, outputs, y*s.wide+m.x1)
		if !finite(row) {
			return 0, fmt.Errorf("%w: a mask that is not finite", ErrOutput)
		}
		for x, logit := range row {
			s.classes[m.x1+x] = none
			if logit > 0 {
				s.classes[m.x1+x] = 0
				pixels++
			}
		}
		s.parts.row(y, s.classes, s.scores)
	}
	s.parts.end()
	return pixels, nil
}

// sum weights the prototypes from one pixel on.
func (s *segments) sum(row []float32, c *candidate, outputs [][]float32, from int) {
	clear(row)
	for k := range s.prototypes {
		weight := outputs[0][s.base+int(c.cell)*s.perCell+k*s.perRow]
		for x, v := range outputs[1][k*s.wide*s.high+from:][:len(row)] {
			row[x] += weight * v
		}
	}
}

func (s *segments) larger(p *part) {
	if p.pixels > s.largest.pixels {
		s.largest = *p
	}
}

// outline is around the largest part of the mask, where its logits pass through zero between a pixel inside
// and its neighbour, and half way where there is none. A mask without pixels has no outline.
func (s *segments) outline(pixels int, g tensor.Geometry) ([][2]float32, float32) {
	if pixels == 0 {
		return nil, 0
	}
	s.border.reset()
	trace(&s.mask, s.largest.x, s.largest.y, func(_, _ int, inside, outside [2]int, _ bool) {
		t := 0.5
		if s.mask.inside(outside[0], outside[1]) {
			in := float64(s.mask.values[inside[1]*s.wide+inside[0]])
			out := float64(s.mask.values[outside[1]*s.wide+outside[0]])
			t = in / (in - out)
		}
		s.border.add(point{
			float64(inside[0]) + 0.5 + t*float64(outside[0]-inside[0]),
			float64(inside[1]) + 0.5 + t*float64(outside[1]-inside[1]),
		})
	})
	corners := s.outlines.next()
	s.border.simplify(func(p point) {
		corners = append(corners, inFrame(g, point{p.x * s.scaleX, p.y * s.scaleY}))
	})
	return s.outlines.take(corners), float32(float64(pixels) * s.scaleX * s.scaleY * magnified(g))
}

// middles are the pixels of a row, each so wide, whose middles lie from one place of the input to another.
func middles(from, to, width float64, pixels int) (first, end int) {
	place := func(v float64) int {
		return int(math.Ceil(min(max(v/width-0.5, 0), float64(pixels))))
	}
	first, end = place(from), place(to)
	return first, max(first, end)
}

// inFrame maps a point of the input to the frame, clipped to it.
func inFrame(g tensor.Geometry, p point) [2]float32 {
	p = project(g, p)
	return [2]float32{
		float32(min(max(p.x, 0), float64(g.FrameWidth))), float32(min(max(p.y, 0), float64(g.FrameHeight))),
	}
}

// magnified is how many pixels of the frame are one of the input.
func magnified(g tensor.Geometry) float64 {
	return float64(g.FrameWidth) / float64(g.Width) * float64(g.FrameHeight) / float64(g.Height)
}
