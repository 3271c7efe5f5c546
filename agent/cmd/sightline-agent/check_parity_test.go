package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParityIsMeasuredByTheRealWorker(t *testing.T) {
	worker := realWorker(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(networks+"yolov8")))
	out, beside, err := said(t, "", "check", dir, "--parity", "--worker", worker, "-o", "json")
	require.NoError(t, err, beside)
	var found []finding
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	p := found[len(found)-1].Parity
	require.NotNil(t, p)
	require.Equal(t, "cpu", p.Provider)
	require.Len(t, p.Samples, 3)
	for _, s := range p.Samples {
		require.Empty(t, s.Fault)
		require.Nil(t, s.CPU, "it is the CPU itself")
		require.Empty(t, s.Expected.Beyond)
		require.Equal(t, s.Expected.Wanted, s.Expected.Found)
		require.Less(t, s.Expected.Box, 0.5)
	}
	require.Positive(t, p.Samples[0].Expected.Wanted)

	// A sample that the maker saw otherwise: the bundle is refused, and the figures say by how much.
	path := filepath.Join(dir, "golden", "1.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	spoilt := strings.Replace(string(raw), `"box": [`, `"box": [-`, 1)
	require.NotEqual(t, string(raw), spoilt)
	require.NoError(t, os.WriteFile(path, []byte(spoilt), 0o600))
	out, _, err = said(t, "", "check", dir, "--parity", "--worker", worker)
	require.ErrorIs(t, err, errFound)
	require.Regexp(t, `FAULT +\S+ in a worker +.*golden sample differs`, out)
	require.Regexp(t, `FAULT +\S+ parity +cpu of model.onnx, 3 golden samples; that is the CPU itself`, out)
	require.Regexp(t, `golden/1.png +expected .* is found at `, out)
	require.Regexp(t, `golden/2.png +expected .* ok`, out)
}

func TestParityGoesWithALoadAndWithoutAFrame(t *testing.T) {
	_, err := command(t, "check", reference, "--parity", "--load=false")
	require.ErrorContains(t, err, "--parity loads the bundle: leave --load=false out")
	_, err = command(t, "check", reference, "--parity", "--frame", "board.png")
	require.ErrorContains(t, err, "--parity has no part in a look at one frame")
}
