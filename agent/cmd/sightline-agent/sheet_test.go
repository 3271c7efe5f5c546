package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// board writes a simulated board of the size with its defects.
func board(t *testing.T, width, height int) (string, []sim.Truth) {
	t.Helper()
	r, err := sim.NewRenderer(sim.Options{
		Width: width, Height: height, Seed: 4, Defects: 12, Exact: true,
	})
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, width, height))
	truth := r.Render(1, img.Pix, nil)
	path := filepath.Join(t.TempDir(), "board.jpg")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, jpeg.Encode(f, img, &jpeg.Options{Quality: 75}))
	require.NoError(t, f.Close())
	return path, truth
}

func TestSheetPrintsWhatItFoundAndNamesWhatItCouldNotRead(t *testing.T) {
	one, _ := board(t, 700, 650)
	out, err := command(t, "sheet", one, one, "--bundle", reference)
	require.ErrorIs(t, err, errFound)
	require.Regexp(t, `board\.jpg .* 1 defects\n  open +0\.90 +10, 10 – 51, 51\n`, out)
	require.Contains(t, out, "not inspected: bad frame: 2.png: it is truncated")
	require.Regexp(t, `the worker's peak memory +[1-9]`, out)
}

func TestSheetRefusesWhatCannotBe(t *testing.T) {
	one, _ := board(t, 64, 64)
	for says, args := range map[string][]string{
		"--overlap is 321; it must be from 32 pixels to half of the model's input, 320": {"--overlap", "321"},
		"--overlap is 31;":          {"--overlap", "31"},
		"--picture shows one image": {"--picture", "x.jpg", one},
		"--picture-width is 10":     {"--picture-width", "10"},
		"open image: stat":          {filepath.Join(t.TempDir(), "absent.png")},
		`output "xml" is neither`:   {"-o", "xml"},
		"open bundle folder":        {"--bundle", t.TempDir() + "/absent"},
		"0 threads: at least one":   {"--threads", "0"},
		"looks at boards beside their golden template: give the sheet's with --template": {"--bundle", pairReference},
		"takes no golden template: leave --template out":                                 {"--template", one},
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

// A small sheet through the real worker and the reference model, if it can be built: each defect that a seam
// goes through is found once, and nothing else is.
func TestASmallSheetThroughTheRealWorker(t *testing.T) {
	if testing.Short() || os.Getenv("SIGHTLINE_ONNXRUNTIME") == "" {
		t.Skip("needs cgo and ONNX Runtime: make test brings them")
	}
	worker := filepath.Join(t.TempDir(), "sightline-worker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", worker, "../sightline-worker")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
	path, truth := board(t, 1600, 1300)
	picture := filepath.Join(t.TempDir(), "found.jpg")
	var out bytes.Buffer
	c := root()
	c.SetArgs([]string{
		"sheet", path, "--bundle", reference, "-o", "json", "--picture", picture,
		"--picture-width", "800", "--worker", worker,
	})
	c.SetOut(&out)
	c.SetErr(t.Output())
	require.NoError(t, c.ExecuteContext(t.Context()))
	var got sheetReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Len(t, got.Sheets, 1)
	s := got.Sheets[0]
	require.Equal(t, [3]int{1600, 1300, 9}, [3]int{s.Width, s.Height, s.Tiles})
	require.Greater(t, s.InspectionMs, s.ModelMs)
	require.Greater(t, got.PeakRSS, int64(20<<20))
	require.Less(t, got.PeakRSS, int64(3<<29))
	for _, d := range truth {
		near := 0
		for _, f := range s.Detections {
			x, y := (f.Box[0]+f.Box[2])/2, (f.Box[1]+f.Box[3])/2
			if x > d.Box[0] && x < d.Box[2] && y > d.Box[1] && y < d.Box[3] {
				near++
			}
		}
		require.LessOrEqual(t, near, 1, "%v in %v", d.Box, s.Detections)
	}
	require.Greater(t, len(s.Detections), len(truth)*3/4)
	f, err := os.Open(picture)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	drawn, err := jpeg.DecodeConfig(f)
	require.NoError(t, err)
	require.Equal(t, [2]int{800, 650}, [2]int{drawn.Width, drawn.Height})
}
