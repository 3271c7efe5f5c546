package worker

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	largeTile               = 320
	scanWidth, scanHeight   = 1100, 900
	scanOverlap             = 64
	blockX, blockY, blockTo = 800, 700, 24 // a square of copper and bare board beside each other
)

// scan is a large board without defects.
func scan(t *testing.T) *image.Gray {
	t.Helper()
	o := sim.DefaultOptions()
	o.Width, o.Height = scanWidth, scanHeight
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	board := image.NewGray(image.Rect(0, 0, scanWidth, scanHeight))
	r.Template(5, board.Pix)
	return board
}

// moved shows at (x, y) what lies at (x+dx, y+dy), the nearest pixel.
func moved(from *image.Gray, move func(x, y int) (dx, dy float64)) *image.Gray {
	to := image.NewGray(from.Rect)
	for y := range from.Rect.Dy() {
		for x := range from.Rect.Dx() {
			dx, dy := move(x, y)
			to.SetGray(x, y, from.GrayAt(
				min(max(int(math.Round(float64(x)+dx)), 0), from.Rect.Dx()-1),
				min(max(int(math.Round(float64(y)+dy)), 0), from.Rect.Dy()-1)))
		}
	}
	return to
}

func blank(s infer.Spec, _ <-chan struct{}) error {
	clear(s.Outputs[0].Values)
	return nil
}

// besideStation is one whose camera brings one board again and again.
func besideStation(t *testing.T, board, template *image.Gray) *wire.StationConfig {
	t.Helper()
	return &wire.StationConfig{
		Name: "line1/aoi-1", Camera: "dir:" + filepath.Dir(written(t, board).GetPath()) + "?loop=true",
		BundleDir: pairBundleOf(t, largeTile), Method: methodPair, Template: written(t, template),
		TileOverlap: scanOverlap, MaxCrops: 2, EvidenceQuality: 95,
	}
}

// settled inspects a part, and asks for its pictures.
func (s *supervisor) settled(job uint64, verdict string, defects ...*wire.Detection) *wire.Inspected {
	s.Helper()
	s.inspect(job, 0)
	s.exposed()
	got := s.answered()
	require.NoError(s, s.conn.Send(wire.KindSettle, &wire.Settle{
		Job: job, Evidence: true, Verdict: verdict, Defects: defects,
	}))
	return got
}

// A scan whose transport runs fast lies 22 px from its template in the end; what is drawn follows it.
func TestPicturesOfASheetShowWhatDiffersFromItsTemplate(t *testing.T) {
	for name, move := range map[string]func(x, y int) (float64, float64){
		"as it is":  func(int, int) (float64, float64) { return 0, 0 },
		"moved":     func(int, int) (float64, float64) { return -17, 12 },
		"stretched": func(_, y int) (float64, float64) { return 3, -12 - float64(y)/40 },
		"turned":    func(x, y int) (float64, float64) { return float64(y) / 60, -float64(x) / 60 },
	} {
		t.Run(name, func(t *testing.T) {
			template := scan(t)
			board := moved(template, move)
			block := image.Rect(blockX, blockY, blockX+blockTo, blockY+blockTo)
			for y := block.Min.Y; y < block.Max.Y; y++ { // inverted: it differs all over
				for x := block.Min.X; x < block.Max.X; x++ {
					board.SetGray(x, y, color.Gray{255 - board.GrayAt(x, y).Y})
				}
			}
			defect := &wire.Detection{
				Score: 0.9, X1: blockX, Y1: blockY, X2: blockX + blockTo, Y2: blockY + blockTo,
			}
			huge := &wire.Detection{Score: 0.8, X1: 10, Y1: 10, X2: 10 + largeTile, Y2: 60}
			s := start(t, scripted(blank), besideStation(t, board, template))
			s.ready()
			got := s.settled(1, "FAIL", defect, huge)
			require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
			whole := s.picture()
			banner := whole.Bounds().Dy() - scanHeight
			missing, extra := tinted(whole, block.Inset(2).Add(image.Pt(0, banner)))
			require.Greater(t, missing+extra, blockTo*blockTo/2, "the defect")
			around := block.Inset(-2).Add(image.Pt(0, banner))
			missing, extra = tinted(whole, image.Rect(0, banner, scanWidth, banner+scanHeight))
			m, e := tinted(whole, around)
			require.Less(t, missing+extra-m-e, scanWidth*scanHeight/1000, "and little else")

			crop := s.picture()
			panel := (crop.Bounds().Dx() - 2*8) / 3
			require.Equal(t, 3*panel+2*8, crop.Bounds().Dx(), "three panels")
			top := crop.Bounds().Dy() - panel
			missing, extra = tinted(crop, image.Rect(2*(panel+8), top, 3*panel+2*8, top+panel))
			share := float64(missing+extra) / float64(panel*panel)
			require.InDelta(t, float64(blockTo*blockTo)/((blockTo+32)*(blockTo+32)), share, 0.05)

			require.Equal(t, largeTile+10+largeTile/2, s.picture().Bounds().Dx(),
				"one that is larger than a tile is shown alone")
		})
	}
}

func TestTheTileThatItsTemplateDoesNotFitIsDrawn(t *testing.T) {
	template := scan(t)
	board := moved(template, func(int, int) (float64, float64) { return -17, 12 })
	lost := image.Rect(500, 400, 500+largeTile, 400+largeTile)
	for y := lost.Min.Y; y < lost.Max.Y; y++ {
		for x := lost.Min.X; x < lost.Max.X; x++ {
			board.SetGray(x, y, color.Gray{})
		}
	}
	s := start(t, scripted(blank), besideStation(t, board, template))
	s.ready()
	for job := range uint64(2) {
		got := s.settled(job, "UNKNOWN")
		require.Equal(t, wire.Fault_FAULT_UNALIGNED, got.GetFault())
		var tile, x, y int
		_, err := fmt.Sscanf(got.GetFaultText(), "the tile at %d, %d:", &x, &y)
		require.NoError(t, err, got.GetFaultText())
		picture := s.picture()
		require.Equal(t, 3*largeTile+2*8, picture.Bounds().Dx(), "board, template and difference of a tile")
		top := picture.Bounds().Dy() - largeTile
		wrong, offFromTemplate := 0, 0
		for v := range largeTile {
			for u := range largeTile {
				tile++
				want, _, _, _ := board.GrayAt(x+u, y+v).RGBA()
				seen, _, _, _ := picture.At(u, top+v).RGBA()
				if (want > 1<<15) != (seen > 1<<15) {
					wrong++
				}
				golden, _, _, _ := picture.At(largeTile+8+u, top+v).RGBA()
				asItLies, _, _, _ := template.GrayAt(x+u-17, y+v+12).RGBA()
				if !image.Pt(x+u, y+v).In(lost) && (golden > 1<<15) != (asItLies > 1<<15) {
					offFromTemplate++
				}
			}
		}
		require.Less(t, wrong, tile/50, "the board is that of the tile that is named")
		require.Less(t, offFromTemplate, tile/10, "the template lies where the neighbours found theirs")
		missing, extra := tinted(picture, image.Rect(2*(largeTile+8), top, 3*largeTile+16, top+largeTile))
		require.Greater(t, missing+extra, tile/10)
	}
}

func TestASheetOfAnotherSizeThanItsTemplateIsDrawnAlone(t *testing.T) {
	template := scan(t)
	smaller := image.NewGray(image.Rect(0, 0, scanWidth, scanHeight-100))
	copy(smaller.Pix, template.Pix)
	s := start(t, scripted(blank), besideStation(t, smaller, template))
	s.ready()
	require.Equal(t, wire.Fault_FAULT_UNALIGNED, s.settled(1, "UNKNOWN").GetFault())
	require.Equal(t, scanWidth, s.picture().Bounds().Dx())
}

// A picture of a large sheet has fewer pixels than the sheet: each shows the template at its own place.
func TestATemplateIsMovedForAPictureInFewerPixels(t *testing.T) {
	const step = 3
	f := &frame.Frame{}
	board := scan(t)
	require.NoError(t, f.Show(board.Pix, scanWidth, scanHeight, 1))
	b, err := bundle.Load(pairBundleOf(t, largeTile))
	require.NoError(t, err)
	plan := tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess).Unscaled()
	sheet, err := pairing.NewSheet(plan, f)
	require.NoError(t, err)
	p, err := tiles.NewPlan(scanWidth, scanHeight, largeTile, largeTile, scanOverlap)
	require.NoError(t, err)
	trail := newTrail(sheet, p, 128)
	for i := range p.Len() { // turned: the shift of each tile's middle
		r := p.Tile(i)
		x, y := float64(r.X+r.Width/2), float64(r.Y+r.Height/2)
		trail.found = append(trail.found, shift{y / 47, -x / 47})
	}
	require.True(t, trail.complete())
	const width, height = scanWidth / step, scanHeight / step
	got, seen := make([]byte, width*height), make([]byte, width*height)
	for i := range seen {
		seen[i] = 7
	}
	trail.move(got, seen, width, height)
	beyond := 0
	for i, v := range got {
		x, y := i%width*scanWidth/width, i/width*scanHeight/height
		want, known := sheet.At(x+nearest(float64(y)/47), y+nearest(-float64(x)/47))
		if !known {
			want = 7
			beyond++
		}
		require.Equal(t, want, v, "at %d, %d", x, y)
	}
	require.Positive(t, beyond, "what lies beyond the border is the board's")
}

func TestWhereTilesWereFoundEndsWithTheFirstError(t *testing.T) {
	p, err := tiles.NewPlan(scanWidth, scanHeight, largeTile, largeTile, scanOverlap)
	require.NoError(t, err)
	pairs := (&pairing.Sheet{}).Tiles()
	trail := newTrail(nil, p, 0)
	for i := range 6 {
		pairs.Seek(float64(i), 0)
		trail.matched(i, pairs, nil)
	}
	trail.matched(6, pairs, fmt.Errorf("tile: %w", pairing.ErrUnaligned))
	trail.matched(7, pairs, nil)
	trail.matched(8, pairs, pairing.ErrUnaligned)
	require.Equal(t, 6, trail.misfit)
	require.Len(t, trail.found, 6)
	require.False(t, trail.complete())
	columns := p.Columns()
	require.Greater(t, columns, 1)
	require.Equal(t, shift{x: 5}, trail.before(6))
	require.Equal(t, shift{x: 0}, trail.before(columns))
	require.Zero(t, trail.before(0))
	trail.failed(fmt.Errorf("tile 7: %w", pairing.ErrUnaligned))
	require.Equal(t, 6, trail.misfit)
	trail.failed(infer.ErrCancelled)
	require.Equal(t, none, trail.misfit, "another tile ended the inspection")
}
