package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func TestEvalPrintsItsStableKeysAndNamesWhatWasNotInspected(t *testing.T) {
	data := t.TempDir()
	for _, folder := range []string{"images", "labels"} {
		require.NoError(t, os.Mkdir(filepath.Join(data, folder), 0o750))
	}
	for i := range 3 {
		image := filepath.Join(data, "images", fmt.Sprintf("%d_test.jpg", i))
		require.NoError(t, os.WriteFile(image, []byte("the scripted worker reads none"), 0o600))
		label := filepath.Join(data, "labels", fmt.Sprintf("%d.txt", i))
		require.NoError(t, os.WriteFile(label, []byte("10 10 50 50 1\n"), 0o600))
	}
	out, err := command(t, "eval", "--bundle", reference, "--data", data, "-o", "json")
	require.ErrorContains(t, err, "1 images were not inspected")
	require.ErrorContains(t, err, "it is truncated")
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	for _, key := range []string{
		"images", "map_iou33", "f_iou33", "map50", "map50_95", "ms_p50", "ms_p99", "fps",
	} {
		require.Contains(t, report, key)
	}
	require.InDelta(t, 3, report["images"], 0)
	require.InDelta(t, 2.0/3, report["map50"], 0.01, "an image that cannot be read is a miss")
}

func TestReplayJudgesEachImageByTheStationsRules(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - name: line3/aoi-1
    camera: "v4l2:/dev/video0"
    bundle: %s
    verdict: {classes: {open: {verdict: rework}}}
`, dir))
	out, err := command(t, "replay", path, "--images", t.TempDir(), "-o", "json")
	require.NoError(t, err)
	var all []replayed
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 3)
	require.Equal(t, event.Rework, all[0].Verdict)
	require.Equal(t, event.Unknown, all[1].Verdict)
	require.Equal(t, "bad_frame", all[1].Reason)
	_, err = command(t, "replay", path, "--images", t.TempDir(), "--station", "line3/aoi-9")
	require.ErrorContains(t, err, "choose with --station one of line3/aoi-1")
}
