package decode

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	maxCandidates = 1000
	// absurdSide: a box larger than so many inputs, or a centre so far away, comes from a broken model.
	absurdSide = 4
	// scoreSlack is what rounding may add to a sigmoid.
	scoreSlack = 1e-3
)

// candidate is a cell that scored. Box is in input pixels, set after selection.
type candidate struct {
	class, cell int32
	score       float32
	box         [4]float32
}

// cells is a family whose outputs say of each of many places what may be there.
type cells interface {
	// collect offers each class of each cell that scores as a candidate, or refuses the outputs.
	collect(s *selection, outputs [][]float32) error
	// box is a candidate's, x1, y1, x2, y2 in input pixels; a number may be absurd.
	box(c *candidate, outputs [][]float32) [4]float32
}

// selection is a family of cells: the best of them, without those that show the same thing once more. Each
// class of a cell is a candidate of its own.
type selection struct {
	cells

	floor, overlap float32
	agnostic       bool
	limit          float32 // of a box's coordinates
	crowd          int     // more candidates than this are an error
	found          int     // candidates so far
	candidates     []candidate
}

// newSelection selects from so many cells.
func newSelection(m *bundle.Manifest, c cells, places int) *selection {
	return &selection{
		cells: c, floor: float32(m.Decoder.ScoreFloor), overlap: float32(m.Decoder.NMSIoU),
		agnostic: m.Decoder.ClassAgnostic,
		limit:    absurdSide * float32(max(m.Input.Width, m.Input.Height)),
		crowd:    max(maxCandidates, places/2), candidates: make([]candidate, 0, maxCandidates),
	}
}

func (s *selection) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := s.pick(d, outputs); err != nil {
		return err
	}
	s.hand(d, g)
	return nil
}

// hand keeps the candidates as detections in the frame.
func (s *selection) hand(d *Decoder, g tensor.Geometry) {
	for _, c := range s.candidates {
		if box, inside := toFrame(c.box, g); inside {
			d.keep(detect.Detection{Class: int(c.class), Score: c.score, Box: box})
		}
	}
}

// pick leaves the candidates that stay, best first, with their boxes.
func (s *selection) pick(d *Decoder, outputs [][]float32) error {
	if err := s.rank(d, outputs); err != nil {
		return err
	}
	s.suppress()
	return nil
}

// rank leaves the best candidates, best first, with their boxes.
func (s *selection) rank(d *Decoder, outputs [][]float32) error {
	s.candidates, s.found = s.candidates[:0], 0
	if err := s.collect(s, outputs); err != nil {
		return err
	}
	order(s.candidates)
	if over := s.found - len(s.candidates); over > 0 {
		d.cut = detect.Cut{Count: over, Score: s.candidates[len(s.candidates)-1].score}
	}
	for i := range s.candidates {
		c := &s.candidates[i]
		c.box = s.box(c, outputs)
		if err := s.believe(c.box); err != nil {
			return err
		}
	}
	return nil
}

// believe refuses a box that no working model gives.
func (s *selection) believe(box [4]float32) error {
	w, h := box[2]-box[0], box[3]-box[1]
	for _, v := range box {
		if !(max(v, -v) <= s.limit) { // NaN comes here, too
			return fmt.Errorf("%w: a box of %g×%g at %g, %g", ErrOutput, w, h, box[0], box[1])
		}
	}
	if w < 0 || h < 0 {
		return fmt.Errorf("%w: a box of %g×%g", ErrOutput, w, h)
	}
	return nil
}

// suppress keeps the best of the candidates that overlap, in place: candidates are in order.
func (s *selection) suppress() {
	n := 0
	for _, c := range s.candidates {
		if !s.covered(&c, s.candidates[:n]) {
			s.candidates[n] = c
			n++
		}
	}
	s.candidates = s.candidates[:n]
}

func (s *selection) covered(c *candidate, better []candidate) bool {
	for i := range better {
		if (s.agnostic || better[i].class == c.class) && detect.IoU(better[i].box, c.box) > s.overlap {
			return true
		}
	}
	return false
}

// toFrame maps a box of input pixels to the frame, clipped; what lies beside the frame is not inside.
func toFrame(box [4]float32, g tensor.Geometry) (mapped [4]float32, inside bool) {
	mapped[0], mapped[1] = g.ToFrame(box[0], box[1])
	mapped[2], mapped[3] = g.ToFrame(box[2], box[3])
	return mapped, mapped[0] < mapped[2] && mapped[1] < mapped[3]
}

// score offers a class of a cell, unless it is below the floor; a number that is no probability is an error.
func (s *selection) score(class, cell int, score float32) error {
	if score < s.floor && score >= -scoreSlack {
		return nil
	}
	if !(score >= -scoreSlack && score <= 1+scoreSlack) { // NaN comes here, too
		return fmt.Errorf("%w: a score of %g", ErrOutput, score)
	}
	return s.offer(candidate{class: int32(class), cell: int32(cell), score: min(score, 1)})
}

// offer keeps the best maxCandidates: once full, candidates is a heap with its worst on top. More than a
// working model has are an error.
func (s *selection) offer(c candidate) error {
	s.found++
	if s.found > s.crowd {
		return fmt.Errorf("%w: over %d candidates", ErrOutput, s.crowd)
	}
	s.candidates, _, _ = keepBest(s.candidates, c, worse)
	return nil
}

// worse orders by score, then by place, so that the result does not depend on the order of arrival.
func worse(a, b candidate) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	if a.class != b.class {
		return a.class > b.class
	}
	return a.cell > b.cell
}

// order puts the best first.
func order(candidates []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.class, b.class),
			cmp.Compare(a.cell, b.cell))
	})
}
