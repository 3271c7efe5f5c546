package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// pictureFile is an image of one gray.
func pictureFile(t *testing.T) string {
	t.Helper()
	var raw bytes.Buffer
	require.NoError(t, png.Encode(&raw, image.NewGray(image.Rect(0, 0, 64, 64))))
	path := filepath.Join(t.TempDir(), "board.png")
	require.NoError(t, os.WriteFile(path, raw.Bytes(), 0o600))
	return path
}

func TestCheckOfAFrameSaysWhatIsMissing(t *testing.T) {
	path, _ := comparing(t)
	picture := pictureFile(t)
	for says, args := range map[string][]string{
		"no such image: name one with --frame": {path, "--frame", "nowhere.png"},
		"is no file: name one image":           {path, "--frame", t.TempDir()},
		"name a picture with --template":       {path, "--frame", picture},
		"no station \"line9/none\": choose":    {path, "--frame", picture, "--station", "line9/none"},
		"--binarize: not a way to binarize: \"300\" is no threshold; write otsu, or a threshold from": {
			path, "--frame", picture, "--binarize", "300",
		},
		"nothing to check: name a conf": {"nowhere.yaml", "--frame", picture},
	} {
		_, err := command(t, append([]string{"check"}, args...)...)
		require.ErrorContains(t, err, says)
	}
}

func TestFlagsThatHaveNoPartInACheckAreRefused(t *testing.T) {
	picture := pictureFile(t)
	manifest := reference + "/bundle.yaml"
	for says, args := range map[string][]string{
		"--station goes with --frame":          {reference, "--station", "line3/aoi-1"},
		"--template goes with --frame":         {reference, "--template", "panel-7"},
		"--binarize goes with --frame":         {reference, "--binarize", "otsu"},
		"--previews goes with --frame":         {reference, "--previews", "pictures"},
		"--load has no part in a look":         {reference, "--frame", picture, "--load=false"},
		"a bundle has no stations: leave it":   {manifest, "--frame", picture, "--station", "line3/aoi-1"},
		"pcb-defects takes no golden template": {manifest, "--frame", picture, "--template", picture},
	} {
		_, err := command(t, append([]string{"check"}, args...)...)
		require.ErrorContains(t, err, says)
	}
}

func TestOneFrameIsInspectedAndShownByTheRealWorker(t *testing.T) {
	worker := realWorker(t)
	path, _ := comparing(t)
	dir, err := filepath.Abs(pairReference + "/golden")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	look := func(args ...string) looked {
		out, beside, err := said(t, "", append([]string{
			"check", "--worker", worker, "-o", "json", "--frame", dir + "/board-1.png",
		}, args...)...)
		require.NoError(t, err, beside)
		var l looked
		require.NoError(t, json.Unmarshal([]byte(out), &l))
		for _, name := range l.Preview.Pictures {
			require.FileExists(t, filepath.Join(l.Folder, name))
		}
		return l
	}
	own := []string{path, "--template", dir + "/board-1-template.png"}

	good := look(own...)
	require.EqualValues(t, "FAIL", good.Verdict)
	require.NotEmpty(t, good.Defects)
	require.True(t, good.Preview.Alignment.Fits)
	require.Equal(t, "otsu", good.Binarize)
	require.Len(t, good.Preview.Pictures, 5)

	wrong := look(path, "--template", dir+"/board-2-template.png", "--binarize", "99")
	require.EqualValues(t, "UNKNOWN", wrong.Verdict)
	require.Equal(t, "template_unaligned", wrong.Reason)
	require.False(t, wrong.Preview.Alignment.Fits)
	require.Equal(t, wrong.Detail, wrong.Preview.Alignment.Why, "line and preview say the same")
	require.Equal(t, 99, wrong.Preview.Threshold)
	require.NotEqual(t, good.Folder, wrong.Folder)

	plain := look(dir + "/../../pcb-defects")
	require.EqualValues(t, "FAIL", plain.Verdict)
	require.Equal(t, 128, plain.Preview.Threshold)
	require.Nil(t, plain.Preview.Alignment)
}

func TestPreviewsNeverGoWhereSomethingIs(t *testing.T) {
	t.Chdir(t.TempDir())
	l := looking{image: "/data/board.7.png"}
	first, err := l.newFolder()
	require.NoError(t, err)
	second, err := l.newFolder()
	require.NoError(t, err)
	require.Equal(t, "preview-board.7", filepath.Base(first))
	require.Equal(t, "preview-board.7-2", filepath.Base(second))
	l.folder = "preview-board.7"
	_, err = l.newFolder()
	require.ErrorContains(t, err, "--previews names a folder that is to be made")
}

func TestTheHistogramShowsTheThreshold(t *testing.T) {
	p := wire.Preview{Grays: make([]int, 256), Binary: true, Threshold: 100}
	p.Grays[3], p.Grays[250] = 100, 300
	lines := histogram(&p)
	require.Len(t, lines, 18)
	require.Contains(t, lines[2], "25.0 %")
	require.Equal(t, barWidth, strings.Count(lines[17], "#"))
	for i, line := range lines {
		require.Equal(t, i == 2+100/16, strings.Contains(line, "white from 100 up"), line)
	}
	require.Empty(t, histogram(&wire.Preview{}))
}

func TestWhatIsSeenIsSaid(t *testing.T) {
	binary := wire.Preview{Binary: true, Threshold: 99, Black: 0.25}
	fits := wire.Preview{
		Alignment: &wire.Alignment{Fits: true, ShiftX: 1.5, ShiftY: -2, Residual: 0.015, Mismatch: 0.03},
	}
	sheet := wire.Preview{Width: 1600, Height: 1300, Tiles: 9, Alignment: &wire.Alignment{
		Fits: true, ShiftX: 2.5, Tile: &wire.Tile{X: 480, Y: 330, Width: 640, Height: 640},
	}}
	strange := wire.Preview{Tiles: 9, Alignment: &wire.Alignment{Why: "the tile at 0, 0: …", Misfits: 4}}
	unfit := wire.Preview{Alignment: &wire.Alignment{Why: "is it the right board?"}}
	for says, l := range map[string]*looked{
		"no: the model takes colours":           {Preview: wire.Preview{Colour: true}},
		"no: the model takes gray":              {},
		"otsu: white from gray 99 up, 25.0 %":   {Binarize: "otsu", Preview: binary},
		"panel-7@2 fits, moved by 1.5, -2.0 px": {Template: "panel-7@2", Preview: fits},
		"residual 1.50 %, mismatch 0.030":       {Preview: fits},
		"seen in 1600×1300 pixels, in 9 tiles":  {Preview: sheet},
		"panel-7@2 fits each tile, worst the one at 480, 330, moved by 2.5, 0.0 px": {
			Template: "panel-7@2", Preview: sheet,
		},
		"panel-7@2 does not fit 4 of 9 tiles": {Template: "panel-7@2", Preview: strange},
		"is it the right board?":              {Preview: unfit},
		"UNKNOWN  no_frame  it is":            {Verdict: "UNKNOWN", Reason: "no_frame", Detail: "it is"},
	} {
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		l.table(w)
		require.NoError(t, w.Flush())
		require.Contains(t, out.String(), says)
	}
}
