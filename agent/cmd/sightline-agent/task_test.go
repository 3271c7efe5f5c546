package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/models/bundle"
)

// ofTask writes a manifest for a task beside a stand-in for its model, which nobody gets to load.
func ofTask(t *testing.T, decoder, class string) string {
	t.Helper()
	dir := t.TempDir()
	manifest := fmt.Sprintf("name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\ndecoder: {%s}\n"+
		"classes: [{name: b, threshold: 0.5%s}]\n", decoder, class)
	require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), []byte(manifest), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ModelFile), []byte("onnx"), 0o600))
	return dir
}

func TestSheetRefusesTasksWhoseFindingsAreNotJoined(t *testing.T) {
	for task, decoder := range map[string]string{
		"oriented":     "family: yolov8-obb",
		"segmentation": "family: yolov8-seg",
		"semantic":     "family: semantic",
		"anomaly":      "family: anomaly, anomaly: {normalized: true}",
	} {
		_, err := command(t, "sheet", board(t, 64, 64), "--bundle", ofTask(t, decoder, ""))
		require.ErrorContains(t, err, "for task "+task+", whose findings in several tiles are not joined")
	}
}

func TestEvalTakesFoldersForATaskWithoutBoxes(t *testing.T) {
	for decoder, good := range map[string]string{
		"family: classifier, activation: sigmoid":      ", good: true",
		"family: anomaly, anomaly: {normalized: true}": "",
	} {
		dir := ofTask(t, decoder, good)
		_, err := command(t, "eval", "--bundle", dir, "--data", t.TempDir())
		require.ErrorContains(t, err, "has no folders: it needs one for each kind of image")
		_, err = command(t, "eval", "--bundle", dir, "--data", t.TempDir(), "--layout", "yolo")
		require.ErrorContains(t, err, "is measured by what whole images show: use layout folders")
	}
	dir := ofTask(t, "family: yolov8", "")
	_, err := command(t, "eval", "--bundle", dir, "--data", t.TempDir(), "--layout", "folders")
	require.ErrorContains(t, err, "it is for bundles for classification and anomalies")
}

func TestEvalSaysThatItMeasuresBoxes(t *testing.T) {
	for task, says := range map[string]bool{bundle.TaskDetection: false, bundle.TaskSegmentation: true} {
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		evalTable(w, &eval.Report{Task: task, Boxes: &eval.Boxes{}})
		require.NoError(t, w.Flush())
		require.Equal(t, says, bytes.Contains(out.Bytes(), []byte(
			task+": measured by the upright boxes around what is found, not by outlines")), out.String())
	}
}
