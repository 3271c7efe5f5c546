//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// simulated writes a board of a product, with the defects of its line, and its template.
func simulated(t *testing.T, product uint64) (board, template string) {
	t.Helper()
	const n = 5
	o := sim.DefaultOptions()
	o.Product, o.Clean = product, 0
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name string, draw func([]byte)) string {
		picture := image.NewGray(image.Rect(0, 0, o.Width, o.Height))
		draw(picture.Pix)
		var raw bytes.Buffer
		require.NoError(t, png.Encode(&raw, picture))
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, raw.Bytes(), 0o600))
		return path
	}
	board = write("board.png", func(pix []byte) { r.Render(n, pix, nil) })
	return board, write("template.png", func(pix []byte) { r.Template(n, pix) })
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

func TestPreviewOfABundleThatKeepsGray(t *testing.T) {
	board, _ := simulated(t, 3)
	order := map[string]any{"frame": board, "bundle": reference(t), "folder": t.TempDir()}
	a, says := previewed(t, order)
	require.NotNil(t, a, says)
	require.False(t, a.Binary)
	require.NotEmpty(t, a.Grays)
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
