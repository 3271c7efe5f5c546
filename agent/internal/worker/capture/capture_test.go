package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/capture"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const side = 320

// line is a camera that brings what its list says, each a board of its own options.
type line struct {
	t      *testing.T
	boards []sim.Options
	next   uint64
	change func(n uint64, pix []byte)
	err    error   // after the last
	since  []int64 // how old each board may be
}

func (l *line) Next(ctx context.Context, notBeforeNs, _ int64) (*frame.Frame, error) {
	l.since = append(l.since, notBeforeNs)
	if l.next == uint64(len(l.boards)) {
		if l.err == nil { // a camera whose trigger never comes
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return nil, l.err
	}
	o := l.boards[l.next]
	r, err := sim.NewRenderer(o)
	require.NoError(l.t, err)
	f := &frame.Frame{Source: strconv.FormatUint(l.next, 10)}
	require.NoError(l.t, f.Shape(o.Width, o.Height, 1))
	r.Render(l.next, f.Pix, nil)
	if l.change != nil {
		l.change(l.next, f.Pix)
	}
	l.next++
	return f, nil
}

// good is a board of a product without defects.
func good(product uint64) sim.Options {
	o := sim.DefaultOptions()
	o.Width, o.Height, o.Product, o.Clean = side, side, product, 1
	return o
}

// products is one good board for each number.
func products(t *testing.T, numbers ...uint64) *line {
	t.Helper()
	l := &line{t: t}
	for _, n := range numbers {
		l.boards = append(l.boards, good(n))
	}
	return l
}

func options(l *line) capture.Options {
	return capture.Options{
		Camera: l, Plan: tensor.Native(bundle.Preprocess{Binarize: bundle.Otsu}),
		Boards: len(l.boards), Wait: time.Minute,
	}
}

// bare is a picture in black and white.
func bare(gray []byte) []byte {
	out := make([]byte, len(gray))
	for i, v := range gray {
		if v > 127 {
			out[i] = 255
		}
	}
	return out
}

func differing(a, b []byte) int {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestBoardsOfOneProductAreAveraged(t *testing.T) {
	o := options(products(t, 3, 3, 3, 3, 3))
	var asked []int
	var told []wire.CapturedBoard
	o.Ready = func(n int) error { asked = append(asked, n); return nil }
	o.Taken = func(n int, b wire.CapturedBoard) error {
		require.Len(t, told, n)
		told = append(told, b)
		return nil
	}
	got, err := capture.Run(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 5, got.Averaged)
	require.Equal(t, []int{0, 1, 2, 3, 4}, asked)
	require.Equal(t, told, got.Boards)
	require.Equal(t, wire.CapturedBoard{Source: "0", Fits: true}, got.Boards[0])
	moved := false
	for i, b := range got.Boards[1:] {
		require.True(t, b.Fits, b.Why)
		require.Equal(t, strconv.Itoa(i+1), b.Source)
		require.Positive(t, b.Residual)
		require.Less(t, b.Residual, 0.03)
		moved = moved || b.ShiftX != 0 || b.ShiftY != 0
	}
	require.True(t, moved, "boards of a product lie each a little otherwise")
	require.Equal(t, side, got.Picture.Rect.Dx())
	require.Equal(t, bare(got.Picture.Pix), got.Picture.Pix, "black and white")
	alone, err := capture.Run(t.Context(), options(products(t, 3)))
	require.NoError(t, err)
	require.Less(t, differing(alone.Picture.Pix, got.Picture.Pix), side*side/100)
	require.NotEqual(t, alone.Picture.Pix, got.Picture.Pix, "the first is one of five")
}

// What most boards say stays so at whatever threshold: a template is not as gray as a station's frames.
func TestADefectOfOneBoardIsOutvotedAtAnyThreshold(t *testing.T) {
	const at, size = 200, 60
	for threshold, shade := range map[string]byte{"40": 255, "210": 0} {
		t.Run(threshold, func(t *testing.T) {
			plan := tensor.Native(bundle.Preprocess{Binarize: threshold})
			seen := func(bad uint64) (spot []byte) {
				l := products(t, 3, 3, 3, 3, 3)
				l.change = func(n uint64, pix []byte) {
					for y := at; y < at+size && n == bad; y++ {
						copy(pix[y*side+at:][:size], bytes.Repeat([]byte{shade}, size))
					}
				}
				o := options(l)
				o.Plan = plan
				got, err := capture.Run(t.Context(), o)
				require.NoError(t, err)
				require.Equal(t, 5, got.Averaged)
				template := &frame.Frame{
					Width: side, Height: side, Channels: 1, Stride: side, Pix: got.Picture.Pix,
				}
				golden, err := pairing.New(plan, template)
				require.NoError(t, err)
				board, err := products(t, 3).Next(t.Context(), 0, 0)
				require.NoError(t, err)
				defer board.Release()
				canvas := tensor.NewCanvas(plan)
				defer canvas.Close()
				require.NoError(t, canvas.Fit(board))
				_, err = golden.Matcher().Match(canvas)
				require.NoError(t, err)
				for y := at; y < at+size; y++ {
					spot = append(spot, canvas.Template()[y*side+at:][:size]...)
				}
				return spot
			}
			require.Less(t, differing(seen(5), seen(2)), size*size/20)
		})
	}
}

// What a camera saw before somebody put the board in place is not that board.
func TestABoardIsExposedAfterItIsInPlace(t *testing.T) {
	l := products(t, 3, 3, 3)
	o := options(l)
	var inPlace []int64
	o.Ready = func(int) error { inPlace = append(inPlace, monotime.Now()); return nil }
	_, err := capture.Run(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, l.since, 3)
	for n, at := range inPlace {
		require.GreaterOrEqual(t, l.since[n], at)
	}
	l = products(t, 3, 3, 3)
	_, err = capture.Run(t.Context(), options(l))
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 0}, l.since, "whatever comes, where nobody is waited for")
}

func TestADefectOfOneBoardIsOutvoted(t *testing.T) {
	const at, size = 100, 40
	for name, bad := range map[string]uint64{"first": 0, "another": 2} {
		t.Run(name, func(t *testing.T) {
			clean, err := capture.Run(t.Context(), options(products(t, 3, 3, 3, 3, 3)))
			require.NoError(t, err)
			l := products(t, 3, 3, 3, 3, 3)
			l.change = func(n uint64, pix []byte) {
				if n != bad {
					return
				}
				for y := at; y < at+size; y++ {
					copy(pix[y*side+at:][:size], bytes.Repeat([]byte{20}, size))
				}
			}
			got, err := capture.Run(t.Context(), options(l))
			require.NoError(t, err)
			require.Equal(t, 5, got.Averaged)
			inside := func(pix []byte) (out []byte) {
				for y := at; y < at+size; y++ {
					out = append(out, bare(pix)[y*side+at:][:size]...)
				}
				return out
			}
			n := differing(inside(clean.Picture.Pix), inside(got.Picture.Pix))
			require.Less(t, n, size*size/20, "the spot is voted away")
			alone := products(t, 3)
			alone.change = func(_ uint64, pix []byte) { l.change(bad, pix) }
			first, err := capture.Run(t.Context(), options(alone))
			require.NoError(t, err)
			require.Greater(t, differing(inside(clean.Picture.Pix), inside(first.Picture.Pix)), size*size/8,
				"one board alone has nobody to outvote it")
		})
	}
}

func TestStrangersAreLeftOutAndToldWhy(t *testing.T) {
	l := products(t, 3, 4, 3, 3, 3)
	l.boards[2].Width = 400
	got, err := capture.Run(t.Context(), options(l))
	require.NoError(t, err)
	require.Equal(t, 3, got.Averaged)
	require.False(t, got.Boards[1].Fits)
	require.Regexp(t, `^it does not fit: \d+\.\d % of the pixels differ from the first board's$`,
		got.Boards[1].Why)
	require.Positive(t, got.Boards[1].Residual)
	require.False(t, got.Boards[2].Fits)
	require.Equal(t, "400×320 pixels instead of 320×320", got.Boards[2].Why)
	with, err := capture.Run(t.Context(), options(products(t, 3, 3, 3)))
	require.NoError(t, err)
	require.Less(t, differing(bare(with.Picture.Pix), bare(got.Picture.Pix)), side*side/100,
		"a stranger leaves nothing in the template")
}

func TestTooFewBoardsThatFitMakeNoTemplate(t *testing.T) {
	for says, numbers := range map[string][]uint64{
		"only 1 of 5 boards": {9, 3, 3, 3, 3}, // the first is the stranger
		"only 1 of 2 boards": {3, 4},
		"only 2 of 4 boards": {3, 3, 4, 5},
	} {
		_, err := capture.Run(t.Context(), options(products(t, numbers...)))
		require.ErrorIs(t, err, capture.ErrBoards)
		require.ErrorContains(t, err, says+" fit the first one: are they all of this recipe")
	}
}

// A picture of nothing agrees with every other one: a lens under its cap would pass from then on.
func TestBlankBoardsMakeNoTemplate(t *testing.T) {
	for _, boards := range []int{1, 3} {
		for _, shade := range []byte{0, 255} {
			l := products(t, []uint64{3, 3, 3}[:boards]...)
			l.change = func(_ uint64, pix []byte) { copy(pix, bytes.Repeat([]byte{shade}, len(pix))) }
			_, err := capture.Run(t.Context(), options(l))
			require.ErrorIs(t, err, capture.ErrBoards, "%d of shade %d", boards, shade)
		}
	}
}

func TestNumberOfBoardsIsBounded(t *testing.T) {
	for _, n := range []int{-1, 0, capture.MaxBoards + 1} {
		o := options(products(t, 3))
		o.Boards = n
		_, err := capture.Run(t.Context(), o)
		require.ErrorIs(t, err, capture.ErrBoards)
		require.ErrorContains(t, err, fmt.Sprintf("%d boards; take 1 to 64", n))
	}
}

// As many as there may be: the count of a pixel does not overflow.
func TestTheMostBoardsAreAveraged(t *testing.T) {
	numbers := make([]uint64, capture.MaxBoards)
	for i := range numbers {
		numbers[i] = 3
	}
	l := products(t, numbers...)
	for i := range l.boards {
		l.boards[i].Width, l.boards[i].Height = 128, 128
	}
	got, err := capture.Run(t.Context(), options(l))
	require.NoError(t, err)
	require.Contains(t, got.Picture.Pix, byte(255))
	require.Contains(t, got.Picture.Pix, byte(0))
}

func TestACameraThatFailsSaysAtWhichBoard(t *testing.T) {
	l := products(t, 3, 3)
	l.err = io.ErrUnexpectedEOF
	o := options(l)
	o.Boards = 4
	_, err := capture.Run(t.Context(), o)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "board 3 of 4: ")
}

func TestWaitingForABoardEnds(t *testing.T) {
	o := options(products(t, 3))
	o.Boards, o.Wait = 2, 10*time.Millisecond
	_, err := capture.Run(t.Context(), o)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "board 2 of 2")

	o = options(products(t, 3))
	o.Boards = 2
	ctx, cancel := context.WithCancel(t.Context())
	o.Taken = func(int, wire.CapturedBoard) error { cancel(); return nil }
	_, err = capture.Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhoPutsTheBoardsInPlaceMayStop(t *testing.T) {
	stop := errors.New("stop")
	o := options(products(t, 3, 3))
	o.Ready = func(n int) error {
		if n == 1 {
			return stop
		}
		return nil
	}
	_, err := capture.Run(t.Context(), o)
	require.ErrorIs(t, err, stop)
	o = options(products(t, 3, 3))
	o.Taken = func(int, wire.CapturedBoard) error { return stop }
	_, err = capture.Run(t.Context(), o)
	require.ErrorIs(t, err, stop)
}
