//go:build cgo

package ort_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// brightPixels is a bundle whose model gives a row for each pixel over one half, of 64×64.
func brightPixels(t *testing.T) *infer.Session {
	t.Helper()
	dir := t.TempDir()
	raw, err := os.ReadFile("testdata/open-rows.onnx")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ModelFile), raw, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), []byte(`name: rows
version: 1.0.0
input: {width: 64, height: 64, channels: 1}
decoder: {family: labelled, no_object: first, score_floor: 0.1, max_detections: 1000}
classes: [{name: bright, threshold: 0.5}]
providers: {order: [{name: cpu}]}
`), 0o600))
	s, err := load(t, dir, "")
	require.NoError(t, err)
	return s
}

func TestOutputsOfAnyNumberOfRowsAreBounded(t *testing.T) {
	const side = 64
	s, f := brightPixels(t), &frame.Frame{}
	require.NoError(t, f.Shape(side, side, 1))
	t.Cleanup(f.Release)
	canvas := tensor.NewCanvas(s.Plan)
	t.Cleanup(canvas.Close)
	for _, count := range []int{0, 1, 999, 1000, 1001, side * side, 0, 3} {
		clear(f.Pix)
		for i := range count {
			f.Pix[i/side*f.Stride+i%side] = byte(255 - i%100)
		}
		require.NoError(t, canvas.Fit(f))
		results, err := inferred(s, []*tensor.Canvas{canvas}, 0)
		if count > 1000 {
			require.ErrorIs(t, err, decode.ErrOutput)
			require.ErrorContains(t, err, "over 1000 detections")
			continue
		}
		require.NoError(t, err)
		require.Len(t, results[0].Detections, count)
		if count > 0 {
			require.Equal(t, [4]float32{0, 0, 1, 1}, results[0].Detections[0].Box)
			require.InDelta(t, 1, results[0].Detections[0].Score, 1e-6)
		}
	}
}
