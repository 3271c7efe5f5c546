package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
	"github.com/sightline-edge/sightline/models/bundle"
)

// board writes a simulated board of the size with its defects.
func board(t *testing.T, width, height int) string {
	t.Helper()
	r, err := sim.NewRenderer(sim.Options{
		Width: width, Height: height, Seed: 4, Defects: 12, Exact: true,
	})
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, width, height))
	r.Render(1, img.Pix, nil)
	path := filepath.Join(t.TempDir(), "board.jpg")
	encodeInto(t, path, func(w io.Writer) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 75}) })
	return path
}

func TestASheetListsNoFindingThatASecondModelDismissed(t *testing.T) {
	fine := bundle.Class{Name: "fine", Threshold: 0.5, Good: true}
	m := bundle.Manifest{
		Task: bundle.TaskDetection, Classes: []bundle.Class{{Name: "open", Threshold: 0.5}, fine},
		Then: &bundle.Then{Classes: []bundle.Class{fine}},
	}
	rules, err := verdict.Compile(config.Verdict{}, &m)
	require.NoError(t, err)
	s := &sheets{model: &bundle.Bundle{Manifest: m}, rules: rules}
	r := s.result("board.png", &wire.Inspected{Width: 100, Height: 100, Detections: []*wire.Detection{
		{Class: 1, Score: 0.95, X2: 9, Y2: 9}, {Class: 0, Score: 0.9, X2: 9, Y2: 9},
	}})
	require.Empty(t, r.Reason)
	require.Len(t, r.Detections, 1)
	require.Equal(t, "open", r.Detections[0].Class)
}

func TestSheetPrintsWhatItFoundAndNamesWhatItCouldNotRead(t *testing.T) {
	one := board(t, 700, 650)
	out, err := command(t, "sheet", one, one, "--bundle", reference)
	require.ErrorIs(t, err, errFound)
	require.Regexp(t, `board\.jpg .* 1 defects\n  open +0\.90 +10, 10 – 51, 51\n`, out)
	require.Contains(t, out, "not inspected: bad frame: 2.png: it is truncated")
	require.Regexp(t, `the worker's peak memory +[1-9]`, out)
}

func TestSheetEndsWhenAnotherImageIsAnsweredFor(t *testing.T) {
	one := board(t, 64, 64)
	t.Setenv(brings, "sheet-00000000")
	_, err := command(t, "sheet", one, one, "--bundle", reference)
	require.ErrorContains(t, err,
		"the worker inspected sheet-00000000 where sheet-00000001 was due, which is "+one)
}

func TestSheetRefusesWhatCannotBe(t *testing.T) {
	one := board(t, 64, 64)
	for says, args := range map[string][]string{
		"--overlap is 321; it must be from 32 pixels to half of the model's input, 320": {"--overlap", "321"},
		"--overlap is 31;":                                  {"--overlap", "31"},
		"--picture shows one image":                         {"--picture", "x.jpg", one},
		"--picture-width is 10":                             {"--picture-width", "10"},
		"open image: stat":                                  {filepath.Join(t.TempDir(), "absent.png")},
		`output "xml" is neither`:                           {"-o", "xml"},
		"open bundle folder":                                {"--bundle", t.TempDir() + "/absent"},
		"0 threads: at least one":                           {"--threads", "0"},
		"golden template: give the sheet's with --template": {"--bundle", pairReference},
		"takes no golden template: leave --template out":    {"--template", one},
	} {
		t.Run(says, func(t *testing.T) {
			_, err := command(t, append([]string{"sheet", one, "--bundle", reference}, args...)...)
			require.ErrorContains(t, err, says)
		})
	}
}

func TestCheckSaysThatTilesOverlapTooMuch(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	out, err := command(t, "check", file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - {name: line3/aoi-1, camera: "sim:", bundle: %[1]s, tiles: {overlap: 96}}
  - {name: line3/aoi-2, camera: "sim:", bundle: %[1]s, tiles: {overlap: 400}}
`, dir)))
	require.ErrorIs(t, err, errFound)
	require.Contains(t, out, "line 4: stations[1].tiles.overlap: tiles are as large as the model's input, "+
		"640×640, and overlap by 400 (at most half of it: 320)")
	require.NotContains(t, out, "stations[0]")
}

// smallSheet is one of simulated boards, 9 tiles of 640 px large, with its template.
type smallSheet struct {
	board, template string
	truth           []sim.Truth
	seams           [2]map[int]bool // where tiles end within it: across and down
}

func newSmallSheet(t *testing.T) *smallSheet {
	t.Helper()
	const width, height = 1600, 1300
	r, err := sim.NewRenderer(sim.Options{Width: width, Height: height, Seed: 4, Defects: 40, Exact: true})
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, width, height))
	s := &smallSheet{
		board: filepath.Join(t.TempDir(), "board.jpg"), template: filepath.Join(t.TempDir(), "template.png"),
		seams: [2]map[int]bool{{}, {}},
	}
	s.truth = r.Render(1, img.Pix, nil)
	encodeInto(t, s.board, func(w io.Writer) error { return jpeg.Encode(w, img, nil) })
	r.Template(1, img.Pix)
	encodeInto(t, s.template, func(w io.Writer) error { return png.Encode(w, img) })
	plan, err := tiles.NewPlan(width, height, 640, 640, sheetOverlap)
	require.NoError(t, err)
	for i := range plan.Len() {
		p := plan.Tile(i)
		s.seams[0][p.X], s.seams[0][p.X+p.Width] = true, true
		s.seams[1][p.Y], s.seams[1][p.Y+p.Height] = true, true
	}
	return s
}

func encodeInto(t *testing.T, path string, encode func(io.Writer) error) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, encode(f))
	require.NoError(t, f.Close())
}

// cut says whether a seam goes through the box.
func (s *smallSheet) cut(box [4]float32) bool {
	for axis, at := range s.seams {
		for seam := range at {
			if float32(seam) > box[axis] && float32(seam) < box[axis+2] {
				return true
			}
		}
	}
	return false
}

// seen is what became of a sheet's defects.
type seen struct {
	onSeams, onSeamsOnce int
	doubled, cut, missed int // wherever they are
	doubted              int // found as two classes, whole both times: the model's doubt, not a seam's
	named                int // found once, by their own class
	strays               int // detections of no defect
}

// judge gives each detection to the defect that it overlaps most, or else to one that holds its centre. One
// detection of more than 0.33 of IoU finds a defect; two of a defect double it, one of less is a piece.
func (s *smallSheet) judge(found []sheetDefect) seen {
	var r seen
	classes, overlap := make([][]string, len(s.truth)), make([]float64, len(s.truth)) // the least overlap
	for _, f := range found {
		best, most := -1, 0.0
		for i, d := range s.truth {
			x, y := (f.Box[0]+f.Box[2])/2, (f.Box[1]+f.Box[3])/2
			holds := x > d.Box[0] && x < d.Box[2] && y > d.Box[1] && y < d.Box[3]
			if o := event.Overlap(f.Box, d.Box); o > most && (o > 0.33 || holds) {
				best, most = i, o
			}
		}
		if best < 0 {
			r.strays++
			continue
		}
		if len(classes[best]) == 0 || most < overlap[best] {
			overlap[best] = most
		}
		classes[best] = append(classes[best], f.Class)
	}
	for i, d := range s.truth {
		times := len(classes[i])
		once := times == 1 && overlap[i] > 0.33
		switch {
		case times == 0:
			r.missed++
		case times == 2 && overlap[i] > 0.5 && classes[i][0] != classes[i][1]:
			r.doubted++
		case times > 1:
			r.doubled++
		case !once:
			r.cut++
		case classes[i][0] == sim.Classes()[d.Class]:
			r.named++
		}
		if s.cut(d.Box) {
			r.onSeams++
			if once {
				r.onSeamsOnce++
			}
		}
	}
	return r
}

// A small sheet through the real worker and the reference models, if it can be built. Of the model that looks
// at pairs each defect that a seam goes through is found once. Of the one that looks at the board alone none
// is doubled or cut either; a few may be missed, which is the model's, not the seam's.
func TestASmallSheetThroughTheRealWorker(t *testing.T) {
	if testing.Short() || os.Getenv("SIGHTLINE_ONNXRUNTIME") == "" {
		t.Skip("needs cgo and ONNX Runtime: make test brings them")
	}
	worker, sheet := realWorker(t), newSmallSheet(t)
	t.Run("beside its template", func(t *testing.T) {
		r := sheet.judge(inspected(t, worker, sheet, "--bundle", pairReference, "--template", sheet.template))
		require.Equal(t, r.onSeams, r.onSeamsOnce, "%+v", r)
		requireWhole(t, sheet, r, 1)
	})
	t.Run("alone", func(t *testing.T) {
		r := sheet.judge(inspected(t, worker, sheet, "--bundle", reference))
		require.GreaterOrEqual(t, 10*r.onSeamsOnce, 9*r.onSeams, "%+v", r)
		requireWhole(t, sheet, r, 4)
	})
}

// requireWhole allows so many misses, strays and wrong names in all.
func requireWhole(t *testing.T, s *smallSheet, r seen, most int) {
	t.Helper()
	require.Greater(t, r.onSeams, 5, "there is something to judge")
	require.Greater(t, len(s.truth)-r.onSeams, 5)
	require.Zero(t, r.doubled, "%+v", r)
	require.Zero(t, r.cut, "%+v", r)
	require.LessOrEqual(t, r.missed, most, "%+v", r)
	require.LessOrEqual(t, r.strays, most, "%+v", r)
	require.LessOrEqual(t, r.doubted, most, "%+v", r)
	require.GreaterOrEqual(t, r.named, len(s.truth)-2*most, "%+v", r)
}

// inspected is what the real worker found, after a look at all else that is reported.
func inspected(t *testing.T, worker string, sheet *smallSheet, args ...string) []sheetDefect {
	t.Helper()
	drawn := filepath.Join(t.TempDir(), "found.jpg")
	out, beside, err := said(t, "", append([]string{
		"sheet", sheet.board, "-o", "json", "--picture", drawn, "--picture-width", "800", "--worker", worker,
	}, args...)...)
	require.NoError(t, err, beside)
	var got sheetReport
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got.Sheets, 1)
	s := got.Sheets[0]
	require.Equal(t, [3]int{1600, 1300, 9}, [3]int{s.Width, s.Height, s.Tiles})
	require.Greater(t, sheetRuns*s.InspectionMs, s.ModelMs, "runs side by side")
	require.Greater(t, got.PeakRSS, int64(20<<20))
	require.Less(t, got.PeakRSS, int64(3<<29))
	f, err := os.Open(drawn)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	size, err := jpeg.DecodeConfig(f)
	require.NoError(t, err)
	require.Equal(t, [2]int{800, 650}, [2]int{size.Width, size.Height})
	return s.Detections
}
