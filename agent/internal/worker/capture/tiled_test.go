package capture_test

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/capture"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	tile, overlap           = 320, 96
	sheetWidth, sheetHeight = 1100, 900
)

// seen is the plan of a bundle that sees pairs in a square.
func seen(binarize string) *tensor.Plan {
	scale, pad := 1.0/255, uint8(114)
	return tensor.NewPlan(
		bundle.Input{Width: tile, Height: tile, Channels: 2, Template: true, Layout: bundle.LayoutNCHW},
		bundle.Preprocess{
			Resize: bundle.Letterbox, Color: bundle.ColorGray, Scale: &scale, Pad: &pad,
			Mean: []float64{0, 0}, Std: []float64{1, 1}, Binarize: binarize,
		}).Unscaled()
}

// move says that at (x, y) lies what belongs to (x+dx, y+dy).
type move func(x, y int) (dx, dy float64)

// sheets is a scanner that brings one board after the other, each moved in its own way.
type sheets struct {
	t     *testing.T
	board []byte
	moves []move
	spot  int // of this board the middle is bare, or copper
	next  int
}

func scanner(t *testing.T, moves []move) *sheets {
	t.Helper()
	o := sim.DefaultOptions()
	o.Width, o.Height = sheetWidth, sheetHeight
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	s := &sheets{t: t, board: make([]byte, sheetWidth*sheetHeight), moves: moves, spot: -1}
	r.Template(5, s.board)
	return s
}

func (s *sheets) Next(context.Context, int64, int64) (*frame.Frame, error) {
	f := &frame.Frame{Source: strconv.Itoa(s.next)}
	require.NoError(s.t, f.Shape(sheetWidth, sheetHeight, 1))
	for y := range sheetHeight {
		for x := range sheetWidth {
			dx, dy := s.moves[s.next](x, y)
			fromX := min(max(int(math.Round(float64(x)+dx)), 0), sheetWidth-1)
			fromY := min(max(int(math.Round(float64(y)+dy)), 0), sheetHeight-1)
			f.Pix[y*sheetWidth+x] = s.board[fromY*sheetWidth+fromX]
		}
	}
	if s.next == s.spot {
		for y := sheetHeight / 2; y < sheetHeight/2+spot; y++ {
			for x := sheetWidth / 2; x < sheetWidth/2+spot; x++ {
				f.Pix[y*sheetWidth+x] = ^f.Pix[y*sheetWidth+x]
			}
		}
	}
	s.next++
	return f, nil
}

const spot = 40

func still(int, int) (dx, dy float64) { return 0, 0 }

// stretched by one in forty, the middle of the sheet lies 28 px off, and its end 39.
func stretched(_, y int) (dx, dy float64) { return 3, 17 + float64(y)/40 }

// cut shows too little at the end: what lies 34 px beyond it is on no tile.
func cut(_, y int) (dx, dy float64) { return 3, -12 - float64(y)/40 }

func turned(x, y int) (dx, dy float64) { return float64(y) / 60, -float64(x) / 60 }

func inTiles(s *sheets, binarize string) capture.Options {
	return capture.Options{
		Camera: s, Plan: seen(binarize), Overlap: overlap, Boards: len(s.moves), Wait: time.Minute,
	}
}

func TestSheetsThatDriftAreAveragedInTiles(t *testing.T) {
	alone, err := capture.Run(t.Context(), inTiles(scanner(t, []move{still}), bundle.Otsu))
	require.NoError(t, err)
	for _, binarize := range []string{bundle.Otsu, "90"} {
		s := scanner(t, []move{still, stretched, turned})
		s.spot = 0
		var got *capture.Template
		got, err = capture.Run(t.Context(), inTiles(s, binarize))
		require.NoError(t, err)
		require.Equal(t, 3, got.Averaged, got.Boards)
		b := got.Boards[1]
		require.InDelta(t, 35, math.Hypot(b.ShiftX, b.ShiftY), 2, "of the tile farthest off")
		require.Less(t, b.Residual, 0.01)
		require.Equal(t, bare(got.Picture.Pix), got.Picture.Pix)
		require.Less(t, differing(alone.Picture.Pix, got.Picture.Pix), sheetWidth*sheetHeight/200)
		require.Less(t, differing(middle(alone.Picture.Pix), middle(got.Picture.Pix)), spot*spot/20,
			"what is wrong with the first is outvoted")
	}
	whole := inTiles(scanner(t, []move{still, stretched, stretched}), bundle.Otsu)
	whole.Plan, whole.Overlap = tensor.Native(bundle.Preprocess{Binarize: bundle.Otsu}), 0
	_, err = capture.Run(t.Context(), whole)
	require.ErrorIs(t, err, capture.ErrBoards, "as a whole none of them fits")
}

func middle(pix []byte) (out []byte) {
	for y := sheetHeight / 2; y < sheetHeight/2+spot; y++ {
		out = append(out, pix[y*sheetWidth+sheetWidth/2:][:spot]...)
	}
	return out
}

// Where all boards are the same, tiles put together what they took apart.
func TestTilesCoverTheSheet(t *testing.T) {
	alone, err := capture.Run(t.Context(), inTiles(scanner(t, []move{still}), bundle.Otsu))
	require.NoError(t, err)
	got, err := capture.Run(t.Context(), inTiles(scanner(t, []move{still, still, still}), bundle.Otsu))
	require.NoError(t, err)
	require.Equal(t, alone.Picture.Pix, got.Picture.Pix)
}

func TestASheetWithATileThatDoesNotFitIsLeftOut(t *testing.T) {
	s := scanner(t, []move{still, still, func(x, y int) (float64, float64) {
		if x > 700 && y > 500 {
			return -300, 100
		}
		return 0, 0
	}, still})
	got, err := capture.Run(t.Context(), inTiles(s, bundle.Otsu))
	require.NoError(t, err)
	require.Equal(t, 3, got.Averaged)
	require.Regexp(t, `^it does not fit: \d+\.\d % of the pixels differ from the first board's, in the `+
		`tile at \d+, \d+$`, got.Boards[2].Why)
	alone, err := capture.Run(t.Context(), inTiles(scanner(t, []move{still}), bundle.Otsu))
	require.NoError(t, err)
	require.Equal(t, alone.Picture.Pix, got.Picture.Pix, "its other tiles leave nothing in the template")
}

func TestASheetThatIsCutOffSaysHowFarItLies(t *testing.T) {
	got, err := capture.Run(t.Context(), inTiles(scanner(t, []move{still, cut, still}), bundle.Otsu))
	require.NoError(t, err)
	require.Equal(t, 2, got.Averaged)
	require.Regexp(t, `^it does not fit: it lies -3, 3\d px off, and may 24 px, in the tile at 0, 580$`,
		got.Boards[1].Why)
}

func TestTilesThatCannotBeLaidAreTold(t *testing.T) {
	o := inTiles(scanner(t, []move{still}), bundle.Otsu)
	o.Overlap = tile
	_, err := capture.Run(t.Context(), o)
	require.ErrorContains(t, err, "at most half a tile")
}
