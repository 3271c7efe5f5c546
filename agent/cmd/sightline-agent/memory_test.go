package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// A model whose run wants more memory than worker.memory_limit, as this one does for anything but black: that
// part is UNKNOWN, and those behind it are judged.
func TestAPartWhoseRunWantsTooMuchMemoryIsUnknown(t *testing.T) {
	worker := realWorker(t)
	raw, err := os.ReadFile("../sightline-worker/testdata/greedy.onnx")
	require.NoError(t, err)
	images := t.TempDir()
	for i, gray := range []uint8{0, 255, 0} {
		square := image.NewGray(image.Rect(0, 0, onnxtest.Side, onnxtest.Side))
		draw.Draw(square, square.Bounds(), image.NewUniform(color.Gray{Y: gray}), image.Point{}, draw.Src)
		f, bad := os.Create(filepath.Join(images, fmt.Sprintf("%d.png", i)))
		require.NoError(t, bad)
		require.NoError(t, png.Encode(f, square))
		require.NoError(t, f.Close())
	}
	path := file(t, fmt.Sprintf("place: a/b/c\nworker: {memory_limit: 4294967296}\nstations:\n"+
		"  - {name: line3/aoi-1, camera: \"sim:\", bundle: %s}\n", onnxtest.Write(t, raw)))
	out, beside, err := said(t, "", "replay", path, "--worker", worker, "--images", images, "-o", "json")
	require.NoError(t, err, beside)
	var all []replayed
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 3)
	require.Equal(t, []event.Verdict{event.Pass, event.Unknown, event.Pass},
		[]event.Verdict{all[0].Verdict, all[1].Verdict, all[2].Verdict})
	require.Equal(t, "model_failed", all[1].Reason)
	require.Contains(t, all[1].Detail, "inference failed on cpu")
}
