package capture

import (
	"fmt"
	"image"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// whole moves boards that are seen as a whole.
type whole struct {
	canvas *tensor.Canvas
	first  *frame.Frame
	moved  []byte
}

func (w *whole) begin(first *frame.Frame) error {
	w.first, w.moved = first, make([]byte, len(first.Pix))
	return nil
}

// move takes the board for the template, and the first one for the board.
func (w *whole) move(board *frame.Frame, to *votes) (align.Fit, error) {
	if err := w.canvas.Fit(board); err != nil {
		return align.Fit{}, err
	}
	golden, err := align.NewGolden(w.canvas.Plane(), board.Width, board.Height)
	if err != nil {
		return align.Fit{}, err
	}
	fit := align.New(golden).Align(w.moved, w.first.Pix)
	if !fit.Aligned() {
		return fit, stranger(fit)
	}
	to.mark(w.moved, image.Rect(0, 0, board.Width, board.Height), board.Width)
	return fit, nil
}

func (w *whole) close() { w.canvas.Close() }

func stranger(fit align.Fit) error {
	if fit.Mismatch <= align.MaxMismatch {
		return fmt.Errorf("%w: it lies %.0f, %.0f px off, and may %d px", errStranger, fit.ShiftX, fit.ShiftY,
			align.MaxShift)
	}
	return fmt.Errorf("%w: %.1f %% of the pixels differ from the first board's", errStranger,
		percent*fit.Residual)
}

const percent = 100
