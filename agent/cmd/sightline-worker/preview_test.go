//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/models/bundle"
)

// simulated writes a board of a product, with the defects of its line, and its template.
func simulated(t *testing.T, product uint64) (board, template string) {
	t.Helper()
	const n = 5
	o := sim.DefaultOptions()
	o.Product, o.Clean = product, 0
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	board = written(t, o.Width, o.Height, func(pix []byte) { r.Render(n, pix, nil) })
	return board, written(t, o.Width, o.Height, func(pix []byte) { r.Template(n, pix) })
}

// written is a picture in a file.
func written(t *testing.T, width, height int, draw func(pix []byte)) (path string) {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, width, height))
	draw(picture.Pix)
	var raw bytes.Buffer
	require.NoError(t, png.Encode(&raw, picture))
	path = filepath.Join(t.TempDir(), "picture.png")
	require.NoError(t, os.WriteFile(path, raw.Bytes(), 0o600))
	return path
}

// previewed lets a real worker process make previews.
func previewed(t *testing.T, order map[string]any) (*wire.Preview, string) {
	t.Helper()
	in, err := json.Marshal(order)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), os.Args[0], "preview")
	command.Env = append(os.Environ(), asWorker+"=1")
	var out, says bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(in), &out, &says
	if command.Run() != nil {
		return nil, says.String()
	}
	answer := &wire.Preview{}
	require.NoError(t, json.Unmarshal(out.Bytes(), answer))
	return answer, ""
}

func TestPreviewShowsWhatIsMadeOfAFrame(t *testing.T) {
	board, template := simulated(t, 3)
	folder := t.TempDir()
	order := map[string]any{
		"frame": board, "template": template, "folder": folder, "verdict": "FAIL",
		"defects": []map[string]any{{"name": "difference", "score": 0.9, "box": []int{10, 10, 50, 50}}},
	}
	a, says := previewed(t, order)
	require.NotNil(t, a, says)
	require.Equal(t, 640, a.Width)
	require.True(t, a.Binary)
	require.InDelta(t, 128, a.Threshold, 30)
	sum, black := 0, 0
	for gray, n := range a.Grays {
		sum += n
		if gray < a.Threshold {
			black += n
		}
	}
	require.Equal(t, 640*640, sum)
	require.InDelta(t, float64(black)/float64(sum), a.Black, 1e-9)
	require.True(t, a.Alignment.Fits, a.Alignment.Why)
	require.Positive(t, a.Alignment.Residual)
	require.Less(t, a.Alignment.Mismatch, 0.1)
	require.Positive(t, a.Alignment.Differing)
	require.Equal(t, []string{
		"gray.png", "black-and-white.png", "template.png", "difference.jpg",
		"annotated.jpg",
	}, a.Pictures)
	for _, name := range a.Pictures {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		decode := png.Decode
		if filepath.Ext(name) == ".jpg" {
			decode = jpeg.Decode
		}
		picture, err := decode(bytes.NewReader(raw))
		require.NoError(t, err, name)
		require.GreaterOrEqual(t, picture.Bounds().Dx(), 640, name)
	}

	a, says = previewed(t, order)
	require.Nil(t, a)
	require.Contains(t, says, "file exists", "nothing is written over")
}

func TestPreviewOfATemplateThatDoesNotFit(t *testing.T) {
	board, _ := simulated(t, 3)
	_, other := simulated(t, 4)
	a, says := previewed(t, map[string]any{
		"frame": board, "template": other, "folder": t.TempDir(), "binarize": "100",
	})
	require.NotNil(t, a, says)
	require.Equal(t, 100, a.Threshold)
	require.False(t, a.Alignment.Fits)
	require.Contains(t, a.Alignment.Why, "is it the right board")
	require.Contains(t, a.Pictures, "difference.jpg", "the attempt is shown")
}

// grayBundle is the reference model as if it took grays.
func grayBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(reference(t))))
	path := filepath.Join(dir, bundle.ManifestFile)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	text, _, _ := strings.Cut(string(raw), "golden:")
	text = strings.Replace(text, "  binarize: 128\n", "", 1)
	require.NotContains(t, text, "binarize")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return dir
}

func TestPreviewOfABundleThatKeepsGray(t *testing.T) {
	board, _ := simulated(t, 3)
	order := map[string]any{"frame": board, "bundle": grayBundle(t), "folder": t.TempDir()}
	a, says := previewed(t, order)
	require.NotNil(t, a, says)
	require.False(t, a.Binary)
	require.NotEmpty(t, a.Grays)
	require.Nil(t, a.Alignment)
	require.Equal(t, []string{"gray.png", "annotated.jpg"}, a.Pictures)
}

const sheetWidth, sheetHeight = 1600, 1300 // three by three tiles of 640×640 that overlap by 96 or more

// sheetPreview looks at a sheet beside a template as a station with tiles does. The sheet is drawn from the
// template's pixels.
func sheetPreview(t *testing.T, more map[string]any, draw func(to, template []byte)) (*wire.Preview, string) {
	t.Helper()
	o := sim.DefaultOptions()
	o.Width, o.Height = sheetWidth, sheetHeight
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	golden := make([]byte, sheetWidth*sheetHeight)
	r.Template(5, golden)
	pair, err := filepath.Abs("../../../models/pcb-defects-pair")
	require.NoError(t, err)
	folder := t.TempDir()
	order := map[string]any{
		"frame":    written(t, sheetWidth, sheetHeight, func(pix []byte) { draw(pix, golden) }),
		"template": written(t, sheetWidth, sheetHeight, func(pix []byte) { copy(pix, golden) }),
		"bundle":   pair, "overlap": 96, "folder": folder, "verdict": "UNKNOWN",
	}
	maps.Copy(order, more)
	a, says := previewed(t, order)
	require.NotNil(t, a, says)
	return a, folder
}

// A scan that is stretched by one in forty lies 32 px from its template in the end, farther than the board
// that is seen as a whole may.
func TestPreviewOfASheetMovesTheTemplateOntoEachTile(t *testing.T) {
	a, folder := sheetPreview(t, nil, func(to, template []byte) {
		for y := range sheetHeight {
			copy(to[y*sheetWidth:][:sheetWidth], template[(y-y/40)*sheetWidth:])
		}
		for y := 640; y < 660; y++ { // a bar of copper where the tile in the middle is alone
			copy(to[y*sheetWidth+640:][:320], make([]byte, 320))
		}
	})
	require.Equal(t, [3]int{sheetWidth, sheetHeight, 9}, [3]int{a.Width, a.Height, a.Tiles})
	sum := 0
	for _, n := range a.Grays {
		sum += n
	}
	require.Equal(t, sheetWidth*sheetHeight, sum, "nothing is scaled")
	require.Equal(t, 128, a.Threshold, "the bundle's")
	require.True(t, a.Alignment.Fits, a.Alignment.Why)
	require.Zero(t, a.Alignment.Misfits)
	require.Equal(t, &wire.Tile{X: 480, Y: 330, Width: 640, Height: 640}, a.Alignment.Tile, "the worst")
	require.InDelta(t, -float64(330+320)/40, a.Alignment.ShiftY, 1, "from its own place on the sheet")
	require.InDelta(t, 320*20/640.0/640, a.Alignment.Differing, 0.005)
	require.Equal(t, []string{
		"gray.png", "black-and-white.png", "template.png", "difference.jpg", "annotated.jpg",
	}, a.Pictures)
	board, moved := gray(t, folder, "black-and-white.png"), gray(t, folder, "template.png")
	differ := 0
	for i := range moved.Pix {
		if moved.Pix[i] != board.Pix[i] {
			differ++
		}
	}
	require.Less(t, differ, len(moved.Pix)/100, "the template of all tiles together")
	raw, err := os.Open(filepath.Join(folder, "difference.jpg"))
	require.NoError(t, err)
	defer func() { require.NoError(t, raw.Close()) }()
	size, err := jpeg.DecodeConfig(raw)
	require.NoError(t, err)
	require.Equal(t, 3*640+2*8, size.Width, "one tile, pixel by pixel")
}

func gray(t *testing.T, folder, name string) *image.Gray {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, name))
	require.NoError(t, err)
	picture, err := png.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, sheetWidth, sheetHeight), picture.Bounds())
	plane, ok := picture.(*image.Gray)
	require.True(t, ok)
	return plane
}

func TestPreviewOfASheetNamesTheTileThatDoesNotFit(t *testing.T) {
	a, _ := sheetPreview(t, map[string]any{"binarize": "otsu"}, func(to, template []byte) {
		copy(to, template)
		for y := 970; y < sheetHeight; y++ { // the last tile alone shows it
			copy(to[y*sheetWidth+1120:][:sheetWidth-1120], make([]byte, sheetWidth))
		}
	})
	require.False(t, a.Alignment.Fits)
	require.Contains(t, a.Alignment.Why, "the tile at 960, 660: the golden template does not fit")
	require.Equal(t, &wire.Tile{X: 960, Y: 660, Width: 640, Height: 640}, a.Alignment.Tile)
	require.Equal(t, 1, a.Alignment.Misfits)
	require.Contains(t, a.Pictures, "difference.jpg", "the attempt is shown")

	a, _ = sheetPreview(t, map[string]any{"template": written(t, 1600, 1200, func([]byte) {})},
		func(to, template []byte) { copy(to, template) })
	require.False(t, a.Alignment.Fits)
	require.Contains(t, a.Alignment.Why, "frames of 1600×1200 pixels, this one has 1600×1300")
	require.Nil(t, a.Alignment.Tile)
	require.NotContains(t, a.Pictures, "difference.jpg")
}

func TestPreviewOfASheetWithoutATemplateSaysItsTiles(t *testing.T) {
	a, _ := sheetPreview(t, map[string]any{"bundle": grayBundle(t), "template": ""},
		func(to, template []byte) { copy(to, template) })
	require.Equal(t, [3]int{sheetWidth, sheetHeight, 9}, [3]int{a.Width, a.Height, a.Tiles})
	require.Nil(t, a.Alignment)
	require.Equal(t, []string{"gray.png", "annotated.jpg"}, a.Pictures)
}

func TestPreviewSaysWhatIsWrong(t *testing.T) {
	board, _ := simulated(t, 3)
	for says, order := range map[string]map[string]any{
		"no such file":         {"frame": filepath.Join(t.TempDir(), "none.png")},
		"is no threshold":      {"frame": board, "binarize": "300"},
		"golden template":      {"frame": board, "template": "/nowhere.png", "folder": t.TempDir()},
		"write the preview":    {"frame": board, "folder": filepath.Join(t.TempDir(), "none")},
		"read what to preview": {"frame": 3},
	} {
		a, said := previewed(t, order)
		require.Nil(t, a)
		require.Contains(t, said, says)
	}
}
