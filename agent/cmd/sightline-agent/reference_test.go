package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

// referTo runs the command with a worker.
func referTo(t *testing.T, worker string, args ...string) (out, said string, err error) {
	t.Helper()
	var printed bytes.Buffer
	told := &spoken{}
	c := root()
	c.SetArgs(append([]string{"reference", "--worker", worker}, args...))
	c.SetOut(&printed)
	c.SetErr(told)
	err = c.ExecuteContext(t.Context())
	return printed.String(), string(told.text), err
}

// The real worker, the reference model and simulated boards without a defect: what is printed completes the
// bundle's manifest.
func TestAReferenceOfGoodBoardsGoesIntoTheManifest(t *testing.T) {
	worker := realWorker(t)
	boards, model := t.TempDir(), filepath.Join(t.TempDir(), "pcb-defects")
	draw := exec.CommandContext(t.Context(), program(t, "simboards"), "-out", boards, "-boards", "40",
		"-seed", "77", "-clean", "1")
	out, err := draw.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.CopyFS(model, os.DirFS(reference)))
	manifest := filepath.Join(model, bundle.ManifestFile)

	args := []string{"--bundle", model, "--images", filepath.Join(boards, "images"), "--glob", "*_test.*"}
	_, _, err = referTo(t, worker, "--bundle", model, "--images", filepath.Join(boards, "labels"))
	require.Error(t, err, "no images")
	made, said, err := referTo(t, worker, args...)
	require.NoError(t, err, said)
	t.Log(made)
	f, err := os.OpenFile(manifest, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(made)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	b, err := bundle.Load(model)
	require.NoError(t, err)
	r := b.Manifest.Reference
	require.GreaterOrEqual(t, r.Images, 30)
	require.Equal(t, slices.Max(r.Scores), r.Scores[0], "on good boards, hardly anything looks like a defect")
	require.InDelta(t, 128, r.Brightness.Mean, 100)
	require.Positive(t, r.Contrast.Mean)
	require.Positive(t, r.Sharpness.Mean)

	_, _, err = referTo(t, worker, args...)
	require.ErrorContains(t, err, "has a reference: take the key out of its bundle.yaml first")
}
