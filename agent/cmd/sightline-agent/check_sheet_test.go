package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// scans writes a sheet, the same one with its last corner all copper, and their template.
func scans(t *testing.T) (good, bad, template string) {
	t.Helper()
	const width, height = 1600, 1300
	r, err := sim.NewRenderer(sim.Options{Width: width, Height: height, Seed: 4, Defects: 12, Exact: true})
	require.NoError(t, err)
	write := func(name string, picture *image.Gray) string {
		path := filepath.Join(t.TempDir(), name)
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, picture))
		require.NoError(t, f.Close())
		return path
	}
	picture := image.NewGray(image.Rect(0, 0, width, height))
	r.Template(1, picture.Pix)
	template = write("template.png", picture)
	r.Render(1, picture.Pix, nil)
	good = write("good.png", picture)
	for y := 970; y < height; y++ { // the last tile alone shows it
		clear(picture.Pix[y*width+1120 : (y+1)*width])
	}
	return good, write("bad.png", picture), template
}

// What is shown of a station with tiles is what it sees: beside a sheet scaled down to the model's input no
// figure would be its verdict's.
func TestOneFrameOfAStationWithTilesIsShownAsTheStationSeesIt(t *testing.T) {
	worker := realWorker(t)
	good, bad, template := scans(t)
	dir, err := filepath.Abs(pairReference)
	require.NoError(t, err)
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - name: line3/scan-1
    camera: "dir:/data/scans"
    bundle: %s
    template: %s
    tiles: {overlap: 96}
`, dir, template))
	t.Chdir(t.TempDir())
	look := func(sheet string) looked {
		out, beside, err := said(t, "", "check", path, "--worker", worker, "-o", "json", "--frame", sheet)
		require.NoError(t, err, beside)
		var l looked
		require.NoError(t, json.Unmarshal([]byte(out), &l))
		require.Equal(t, [3]int{1600, 1300, 9}, [3]int{l.Preview.Width, l.Preview.Height, l.Preview.Tiles})
		require.Len(t, l.Preview.Pictures, 5)
		return l
	}
	seen := look(good)
	require.EqualValues(t, "FAIL", seen.Verdict)
	require.True(t, seen.Preview.Alignment.Fits, seen.Preview.Alignment.Why)
	seen = look(bad)
	require.EqualValues(t, "UNKNOWN", seen.Verdict)
	require.Equal(t, "template_unaligned", seen.Reason)
	require.Equal(t, seen.Detail, seen.Preview.Alignment.Why, "line and preview say the same")
	require.Equal(t, &wire.Tile{X: 960, Y: 660, Width: 640, Height: 640}, seen.Preview.Alignment.Tile)
}
