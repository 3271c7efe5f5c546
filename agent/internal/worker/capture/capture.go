// Package capture makes the golden template of a recipe of several good boards: each is moved onto the
// first, and each pixel becomes the share of the boards that are bare there, so that what is wrong with one
// board is outvoted by the others.
package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
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
	Picture  *image.Gray // 0 copper, 255 bare board, in between where boards disagree
	Boards   []wire.CapturedBoard
	Averaged int
}

// Options say what to take. Ready is called before each board is taken, and Taken after; both may be nil.
type Options struct {
	Camera Camera
	Plan   *tensor.Plan // native, black and white
	Boards int
	Wait   time.Duration // for one frame
	Ready  func(n int) error
	Taken  func(n int, b wire.CapturedBoard)
}

// Run takes the boards. More than half of them must fit the first; an error names what to do.
func Run(ctx context.Context, o Options) (*Template, error) {
	if o.Boards < 1 || o.Boards > MaxBoards {
		return nil, fmt.Errorf("%w: %d boards; take 1 to %d", ErrBoards, o.Boards, MaxBoards)
	}
	s := sum{plan: o.Plan, canvas: tensor.NewCanvas(o.Plan)}
	defer s.canvas.Close()
	t := &Template{}
	for n := range o.Boards {
		if o.Ready != nil {
			if err := o.Ready(n); err != nil {
				return nil, err
			}
		}
		b, err := s.take(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("board %d of %d: %w", n+1, o.Boards, err)
		}
		t.Boards = append(t.Boards, b)
		if o.Taken != nil {
			o.Taken(n, b)
		}
	}
	if 2*s.boards <= o.Boards && o.Boards > 1 {
		return nil, fmt.Errorf("%w: only %d of %d boards fit the first one: "+
			"are they all of this recipe, and is the first one good?", ErrBoards, s.boards, o.Boards)
	}
	t.Picture, t.Averaged = s.average(), s.boards
	if blank(t.Picture.Pix) {
		return nil, fmt.Errorf("%w: the picture is all of one shade: is there a board, light, and no cap "+
			"on the lens? a fixed threshold (binarize) may lie beyond all grays", ErrBoards)
	}
	return t, nil
}

// blank says that no pixel differs from the others: such a template would fit every blank frame.
func blank(pix []byte) bool {
	for _, v := range pix {
		if v>>7 != pix[0]>>7 {
			return false
		}
	}
	return true
}

// sum counts, for each pixel, the boards that are bare there.
type sum struct {
	plan     *tensor.Plan
	canvas   *tensor.Canvas
	geometry tensor.Geometry
	first    []byte
	moved    []byte
	bare     []uint8
	boards   int
}

func (s *sum) take(ctx context.Context, o Options) (wire.CapturedBoard, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	f, err := o.Camera.Next(ctx, 0, 0)
	if err != nil {
		return wire.CapturedBoard{}, err
	}
	defer f.Release()
	b := wire.CapturedBoard{Source: f.Source}
	if err = s.canvas.Fit(f); err != nil {
		return b, err
	}
	if s.boards == 0 {
		s.begin()
		b.Fits = true
		return b, nil
	}
	if s.canvas.Geometry() != s.geometry {
		b.Why = fmt.Sprintf("%d×%d pixels instead of %d×%d", f.Width, f.Height, s.geometry.Width,
			s.geometry.Height)
		return b, nil
	}
	fit, err := s.add()
	b.ShiftX, b.ShiftY, b.Residual, b.Fits = fit.ShiftX, fit.ShiftY, fit.Residual, err == nil
	if err != nil && !errors.Is(err, errStranger) {
		return b, err
	}
	if err != nil {
		b.Why = err.Error()
	}
	return b, nil
}

func (s *sum) begin() {
	s.geometry = s.canvas.Geometry()
	s.first = append([]byte(nil), s.canvas.Plane()...)
	s.moved, s.bare = make([]byte, len(s.first)), make([]uint8, len(s.first))
	copy(s.moved, s.first)
	s.count()
}

// add moves the board in the canvas onto the first one: it is the template here, and the first the board.
func (s *sum) add() (align.Fit, error) {
	golden, err := align.NewGolden(s.canvas.Plane(), s.geometry.Width, s.geometry.Height)
	if err != nil {
		return align.Fit{}, err
	}
	fit := align.New(golden).Align(s.moved, s.first)
	if !fit.Aligned() {
		return fit, fmt.Errorf("%w: %.1f %% of the pixels differ from the first board's", errStranger,
			percent*fit.Residual)
	}
	s.count()
	return fit, nil
}

const percent = 100

func (s *sum) count() {
	for i, v := range s.moved {
		s.bare[i] += v >> 7
	}
	s.boards++
}

func (s *sum) average() *image.Gray {
	picture := image.NewGray(image.Rect(0, 0, s.geometry.Width, s.geometry.Height))
	for i, n := range s.bare {
		picture.Pix[i] = uint8(int(n) * 255 / s.boards)
	}
	return picture
}
