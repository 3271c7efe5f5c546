package decode

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	angleRows = 1
	// mostTurn is more than any model turns a box: all boxes there are lie within half a turn.
	mostTurn = 2 * math.Pi
)

// oriented is an output of [1, 4+classes+1, N]: yolov8's, and in the last row by how many radians the box is
// turned, clockwise as pictures show it.
type oriented struct {
	candidates *selection
	upright    yolov8
	quads      []quad // of the candidates
	outlines   outlines
}

func newOriented(m *bundle.Manifest, ports []Port) (family, error) {
	rows := boxRows + len(m.Classes) + angleRows
	out := &ports[0]
	if err := out.shaped(3, fmt.Sprintf("the decoder yolov8-obb reads [1 %d N]", rows)); err != nil {
		return nil, err
	}
	if err := out.classes(out.Dims[1]-boxRows-angleRows, m); err != nil {
		return nil, err
	}
	if out.Dims[2] > maxCells {
		return nil, fmt.Errorf("output %q has %d cells, over %d", out.Name, out.Dims[2], maxCells)
	}
	o := &oriented{
		upright: yolov8{len(m.Classes), int(out.Dims[2])}, quads: make([]quad, 0, maxCandidates),
		outlines: newOutlines(m, len(quad{})),
	}
	o.candidates = newSelection(m, o, o.upright.cells)
	return o, nil
}

func (o *oriented) collect(s *selection, outputs [][]float32) error {
	output, cells := outputs[0], o.upright.cells
	if want := (boxRows + o.upright.classes + angleRows) * cells; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	if !finite(output[len(output)-cells:]) {
		return fmt.Errorf("%w: an angle is NaN or infinite", ErrOutput)
	}
	return o.upright.collect(s, [][]float32{output[:len(output)-cells]})
}

// box is around the turned one.
func (o *oriented) box(c *candidate, outputs [][]float32) [4]float32 {
	q := o.quad(c, outputs[0])
	return q.hull()
}

func (o *oriented) quad(c *candidate, output []float32) quad {
	at := func(row int) float64 { return float64(output[row*o.upright.cells+int(c.cell)]) }
	return turned(at(0), at(1), at(2), at(3), at(boxRows+o.upright.classes))
}

// turn takes a candidate's turned box, unless no working model gives it.
func (o *oriented) turn(c *candidate, output []float32) error {
	at := func(row int) float32 { return output[row*o.upright.cells+int(c.cell)] }
	if w, h := at(2), at(3); w < 0 || h < 0 {
		return fmt.Errorf("%w: a box of %g×%g", ErrOutput, w, h)
	}
	if angle := at(boxRows + o.upright.classes); math.Abs(float64(angle)) > mostTurn {
		return fmt.Errorf("%w: a box is turned by %g", ErrOutput, angle)
	}
	o.quads = append(o.quads, o.quad(c, output))
	return nil
}

func (o *oriented) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := o.candidates.rank(d, outputs); err != nil {
		return err
	}
	found := o.candidates.candidates
	o.quads = o.quads[:0]
	for i := range found {
		if err := o.turn(&found[i], outputs[0]); err != nil {
			return err
		}
	}
	o.outlines.reset()
	for i, c := range found[:o.suppress(found)] {
		q := &o.quads[i]
		for k := range q {
			q[k] = project(g, q[k])
		}
		box, inside := clip(q.hull(), g)
		if !inside {
			continue
		}
		one := detect.Detection{Class: int(c.class), Score: c.score, Box: box}
		if size := float32(area(q[:])); size > 0 && !d.full() {
			one.Outline, one.Area = o.outline(q), size
		}
		d.keep(one)
	}
	return nil
}

// suppress moves the best of the candidates that overlap, as they are turned, to the front, and returns how
// many these are.
func (o *oriented) suppress(found []candidate) int {
	n := 0
	for i := range found {
		if !o.covered(found, i, n) {
			found[n], o.quads[n] = found[i], o.quads[i]
			n++
		}
	}
	return n
}

// covered says whether candidate i overlaps one of the first n too much.
func (o *oriented) covered(found []candidate, i, n int) bool {
	c, size := &found[i], area(o.quads[i][:])
	for k := range n {
		better := &found[k]
		if !o.candidates.agnostic && better.class != c.class || detect.IoU(better.box, c.box) == 0 {
			continue
		}
		both := common(&o.quads[i], &o.quads[k])
		if both > float64(o.candidates.overlap)*(size+area(o.quads[k][:])-both) {
			return true
		}
	}
	return false
}

// outline is a quad in the frame. What lies beside the frame stays: the box is what is clipped.
func (o *oriented) outline(q *quad) [][2]float32 {
	corners := o.outlines.next()
	for _, p := range q {
		corners = append(corners, [2]float32{float32(p.x), float32(p.y)})
	}
	return o.outlines.take(corners)
}

// clip leaves what a box has in common with the frame, in which it is; nothing of it may be inside.
func clip(box [4]float32, g tensor.Geometry) (clipped [4]float32, inside bool) {
	for i, most := range [4]int{g.FrameWidth, g.FrameHeight, g.FrameWidth, g.FrameHeight} {
		clipped[i] = min(max(box[i], 0), float32(most))
	}
	return clipped, clipped[0] < clipped[2] && clipped[1] < clipped[3]
}

// project maps a point of the input to the frame, without clipping it.
func project(g tensor.Geometry, p point) point {
	return point{
		(p.x - float64(g.Left)) * float64(g.FrameWidth) / float64(g.Width),
		(p.y - float64(g.Top)) * float64(g.FrameHeight) / float64(g.Height),
	}
}
