// Package pairing brings the golden template of a recipe onto a frame, so that the two can be compared.
package pairing

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// ErrUnaligned is wrapped when nothing can be said about a frame, since its template does not fit it.
var ErrUnaligned = errors.New("the golden template does not fit")

// Golden is a template, made black and white in the size that a plan gives to its frames. Immutable, safe for
// concurrent use.
type Golden struct {
	geometry tensor.Geometry
	golden   *align.Golden
	blank    bool
}

// New prepares a template for frames of its own size.
func New(plan *tensor.Plan, template *frame.Frame) (*Golden, error) {
	canvas := tensor.NewCanvas(plan)
	defer canvas.Close()
	if err := canvas.Fit(template); err != nil {
		return nil, fmt.Errorf("golden template: %w", err)
	}
	g := canvas.Geometry()
	golden, err := align.NewGolden(canvas.Plane(), g.Width, g.Height)
	if err != nil {
		return nil, fmt.Errorf("golden template: %w", err)
	}
	return &Golden{g, golden, blank(canvas.Plane())}, nil
}

func blank(plane []byte) bool {
	for _, v := range plane {
		if v != plane[0] {
			return false
		}
	}
	return true
}

// Matcher moves a template onto frames. Not safe for concurrent use.
type Matcher struct {
	golden  *Golden
	aligner *align.Aligner
}

// Matcher makes one.
func (g *Golden) Matcher() *Matcher { return &Matcher{g, align.New(g.golden)} }

// Blank says that the template is all black, or all white: it fits any blank frame, so that a lens under its
// cap would look like a good board.
func (m *Matcher) Blank() bool { return m.golden.blank }

// Match writes the moved template beside the frame that the canvas holds. The error is ErrUnaligned when it
// does not fit; the canvas has the best attempt then.
func (m *Matcher) Match(c *tensor.Canvas) (align.Fit, error) {
	if c.Geometry() != m.golden.geometry {
		g, f := m.golden.geometry, c.Geometry()
		return align.Fit{Mismatch: 1}, fmt.Errorf(
			"%w: it was captured from frames of %d×%d pixels, this one has %d×%d: capture the template anew",
			ErrUnaligned, g.FrameWidth, g.FrameHeight, f.FrameWidth, f.FrameHeight)
	}
	fit := m.aligner.Align(c.Template(), c.Plane())
	return fit, unaligned(fit, align.MaxUnseen(c.Geometry().Width, c.Geometry().Height))
}

// unaligned is the error of a fit that nothing can be said of, or that leaves more than so much unseen.
func unaligned(fit align.Fit, unseen float64) error {
	switch {
	case !fit.Aligned():
	case fit.Unseen > unseen:
		return fmt.Errorf("%w: it leaves %.1f %% of the board uncovered, where at most %.1f %% may be, "+
			"moved by %.0f, %.0f px: lay the board as it lay at the capture, or capture the template anew",
			ErrUnaligned, percent*fit.Unseen, percent*unseen, fit.ShiftX, fit.ShiftY)
	default:
		return nil
	}
	return fmt.Errorf("%w: %.1f %% of the pixels differ (%.2f of what strangers would, "+
		"at most %.2f), moved by %.0f, %.0f px: is it the right board, and does it lie as "+
		"it did at the capture?",
		ErrUnaligned, percent*fit.Residual, fit.Mismatch, align.MaxMismatch, fit.ShiftX, fit.ShiftY)
}

const percent = 100
