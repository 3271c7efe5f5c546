//go:build cgo

package ort_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer/ort"
)

func TestEachErrorOfTheLibraryTellsWhatToDo(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o600))
	for _, path := range []string{"/nonexistent/libonnxruntime.so", "libnonexistent.so.1", text} {
		_, err := ort.Load(path)
		require.ErrorIs(t, err, ort.ErrLibrary)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "run scripts/setup and `source build/env.sh`")
		require.ErrorContains(t, err, "or set worker.onnxruntime")
	}
}
