//go:build cgo

package main

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// picture writes a square of one gray.
func picture(t *testing.T, path string, gray uint8) {
	t.Helper()
	square := image.NewGray(image.Rect(0, 0, onnxtest.Side, onnxtest.Side))
	draw.Draw(square, square.Bounds(), image.NewUniform(color.Gray{Y: gray}), image.Point{}, draw.Src)
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, square))
	require.NoError(t, f.Close())
}

// A run that wants more memory than the worker may have costs its own part, and no other: the model loads,
// and only the frame tells what it takes.
func TestARunWithoutMemoryFailsAndTheNextIsGood(t *testing.T) {
	raw, err := os.ReadFile("testdata/greedy.onnx")
	require.NoError(t, err)
	dir := t.TempDir()
	for name, gray := range map[string]uint8{"1.png": 0, "2.png": 255, "3.png": 128, "4.png": 0} {
		picture(t, filepath.Join(dir, name), gray)
	}
	_, conn := launch(t, &wire.Configure{Stations: []*wire.StationConfig{{
		Name: "a", Camera: "dir:" + dir, BundleDir: onnxtest.Write(t, raw),
	}}}, "--memory-limit", memoryLimit)
	state := settledState(t, conn)
	require.Equal(t, wire.Phase_PHASE_READY, state.GetPhase(), state.GetReason())
	for job, hungry := range []bool{false, true, true, false} {
		require.NoError(t, conn.Send(wire.KindInspect, &wire.Inspect{Job: uint64(job)}))
		in := expect(t, conn, wire.KindInspected, &wire.Inspected{})
		require.Equal(t, uint64(job), in.GetJob())
		if !hungry {
			require.Equal(t, wire.Fault_FAULT_NONE, in.GetFault(), in.GetFaultText())
			require.Empty(t, in.GetDetections())
		} else {
			require.Equal(t, wire.Fault_FAULT_MODEL, in.GetFault(), in.GetFaultText())
			require.Contains(t, in.GetFaultText(), "inference failed on cpu")
			t.Log(in.GetFaultText())
		}
		require.NoError(t, conn.Send(wire.KindSettle, &wire.Settle{Job: uint64(job), Verdict: "PASS"}))
	}
}
