// Package capture makes the golden template of a recipe of several good boards: each is moved onto the
// first, and each pixel becomes what most of the boards are there, so that what is wrong with one board is
// outvoted by the others.
package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// ErrBoards is wrapped when the boards do not make a template.
var ErrBoards = errors.New("no golden template")

// errStranger says that a board does not fit the first one.
var errStranger = errors.New("it does not fit")

// MaxBoards bounds what one template is made of.
const MaxBoards = 64

// Camera brings boards: what the worker's cameras do.
type Camera interface {
	Next(ctx context.Context, notBeforeNs, deadlineNs int64) (*frame.Frame, error)
}

// Template is made of the boards that fit each other.
type Template struct {
	// Picture is in black and white, 0 copper and 255 bare board: whatever threshold it is seen with later,
	// the majority stays what it is. Where as many boards say one as the other there is copper.
	Picture  *image.Gray
	Boards   []wire.CapturedBoard
	Averaged int
}

// Options say what to take. Ready is called before each board is taken, which is then exposed after it; and
// Taken after. Both may be nil, and end the capture with an error.
type Options struct {
	Camera Camera
	// Plan is a native one, or for boards that are seen in tiles an unscaled one. Black and white.
	Plan    *tensor.Plan
	Overlap int // of tiles, pixels; 0: boards are seen as a whole
	Boards  int
	Wait    time.Duration // for one frame
	Ready   func(n int) error
	Taken   func(n int, b wire.CapturedBoard) error
}

// Run takes the boards. More than half of them must fit the first; an error names what to do.
func Run(ctx context.Context, o Options) (*Template, error) {
	if o.Boards < 1 || o.Boards > MaxBoards {
		return nil, fmt.Errorf("%w: %d boards; take 1 to %d", ErrBoards, o.Boards, MaxBoards)
	}
	s := newSum(o)
	defer s.close()
	t := &Template{}
	for n := range o.Boards {
		b, err := s.take(ctx, o, n)
		if err != nil {
			return nil, fmt.Errorf("board %d of %d: %w", n+1, o.Boards, err)
		}
		t.Boards = append(t.Boards, b)
		if o.Taken == nil {
			continue
		}
		if err := o.Taken(n, b); err != nil {
			return nil, err
		}
	}
	if 2*s.votes.boards <= o.Boards && o.Boards > 1 {
		return nil, fmt.Errorf("%w: only %d of %d boards fit the first one: "+
			"are they all of this recipe, and is the first one good?", ErrBoards, s.votes.boards, o.Boards)
	}
	t.Averaged = s.votes.boards
	t.Picture = s.votes.picture()
	if blank(t.Picture.Pix) {
		return nil, fmt.Errorf("%w: the picture is all of one shade: is there a board, light, and no cap "+
			"on the lens? a fixed threshold (binarize) may lie beyond all grays", ErrBoards)
	}
	return t, nil
}

// blank says that no pixel differs from the others: such a template would fit every blank frame.
func blank(pix []byte) bool {
	for _, v := range pix {
		if v != pix[0] {
			return false
		}
	}
	return true
}

// mover moves boards onto the first one.
type mover interface {
	// begin takes the first board. Its picture stays what it is.
	begin(first *frame.Frame) error
	// move marks where a board is bare. The error wraps errStranger when it does not fit the first one.
	move(board *frame.Frame, to *votes) (align.Fit, error)
	close()
}

// sum is what the boards so far make together.
type sum struct {
	canvas *tensor.Canvas // of the first board
	mover  mover
	votes  votes
}

func newSum(o Options) *sum {
	s := &sum{canvas: tensor.NewCanvas(o.Plan.Whole())}
	if o.Overlap > 0 {
		s.mover = newTiled(o.Plan, o.Overlap)
	} else {
		s.mover = &whole{canvas: tensor.NewCanvas(o.Plan)}
	}
	return s
}

func (s *sum) close() {
	s.canvas.Close()
	s.mover.close()
}

func (s *sum) take(ctx context.Context, o Options, n int) (wire.CapturedBoard, error) {
	notBefore := int64(0)
	if o.Ready != nil {
		if err := o.Ready(n); err != nil {
			return wire.CapturedBoard{}, err
		}
		notBefore = monotime.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	f, err := o.Camera.Next(ctx, notBefore, 0)
	if err != nil {
		return wire.CapturedBoard{}, err
	}
	defer f.Release()
	b := wire.CapturedBoard{Source: f.Source}
	if s.votes.boards == 0 {
		b.Fits = true
		return b, s.begin(o, f)
	}
	if v := &s.votes; f.Width != v.width || f.Height != v.height {
		b.Why = fmt.Sprintf("%d×%d pixels instead of %d×%d", f.Width, f.Height, v.width, v.height)
		return b, nil
	}
	fit, err := s.mover.move(f, &s.votes)
	b.ShiftX, b.ShiftY, b.Residual, b.Fits = fit.ShiftX, fit.ShiftY, fit.Residual, err == nil
	switch {
	case errors.Is(err, errStranger):
		b.Why = err.Error()
	case err != nil:
		return b, err
	default:
		s.votes.count()
	}
	return b, nil
}

// begin keeps the first board in black and white.
func (s *sum) begin(o Options, f *frame.Frame) error {
	if o.Overlap > 0 {
		threshold, err := o.Plan.Sheet(f)
		if err != nil {
			return err
		}
		s.canvas.Hold(threshold)
	}
	if err := s.canvas.Fit(f); err != nil {
		return err
	}
	first := &frame.Frame{
		Width: f.Width, Height: f.Height, Channels: 1, Stride: f.Width, Pix: s.canvas.Plane(),
	}
	s.votes = newVotes(f.Width, f.Height)
	s.votes.mark(first.Pix, image.Rect(0, 0, f.Width, f.Height), f.Width)
	s.votes.count()
	return s.mover.begin(first)
}
