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
	told := filepath.Join(t.TempDir(), "args")
	t.Setenv(toldArgs, told)
	for _, spins := range []string{"run", "always", "never"} {
		_, err := command(t, "eval", "--bundle", reference, "--data", data, "--spinning="+spins)
		require.Error(t, err)
		raw, err := os.ReadFile(told)
		require.NoError(t, err)
		require.Contains(t, string(raw), "spinning "+spins)
	}
	_, err := command(t, "eval", "--bundle", reference, "--data", data, "--spinning", "true")
	require.ErrorContains(t, err, `--spinning: "true": write run, always or never`)
	out, err := command(t, "eval", "--bundle", reference, "--data", data, "-o", "json")
	require.ErrorContains(t, err, "1 images were not inspected")
	require.ErrorContains(t, err, "it is truncated")
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	for _, key := range []string{
		"images", "map_iou33", "f_iou33", "map50", "map50_95", "ms_p50", "ms_p99", "fps",
		"clean", "clean_alarmed", "spinning",
	} {
		require.Contains(t, report, key)
	}
	require.InDelta(t, 3, report["images"], 0)
	require.InDelta(t, 2.0/3, report["map50"], 0.01, "an image that cannot be read is a miss")
}

// The scripted worker finds one defect at 10 to 51 pixels of 640 in the first image and in the third.
func TestEvalReadsEveryLayoutAndNamesItsClasses(t *testing.T) {
	data := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(data, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	for i := range 3 {
		write(fmt.Sprintf("images/%d.png", i), "")
	}
	write("labels/0.txt", "1 0.04765625 0.04765625 0.0640625 0.0640625\n")
	write("data.yaml", "names: [short, OPEN]\n")
	write("labels.json", `{
		"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "1.png"},
			{"id": 3, "file_name": "2.png"}],
		"annotations": [{"id": 1, "image_id": 1, "category_id": 4, "bbox": [10, 10, 41, 41]}],
		"categories": [{"id": 4, "name": "Open"}]}`)
	for layout, want := range map[string]string{
		"yolo": "yolo: 3 images, 1 labels, 2 images without a file of labels, taken as free of defects, " +
			"classes by name\n",
		"coco": "coco: 3 images, 1 labels, classes by name\n",
	} {
		out, err := command(t, "eval", "--bundle", reference, "--data", data, "--layout", layout)
		require.ErrorContains(t, err, "1 images were not inspected")
		require.Contains(t, out, want)
		require.Regexp(t, `(?m)^map50_95 +1.0000 `, out)
		require.Regexp(t, `(?m)^f_iou33 +0.6667 .*precision 0.5000, recall 1.0000$`, out)
		require.Regexp(t, `(?m)^clean_alarmed +1 +of 1 images without a label: `, out)
		require.Regexp(t, `(?m)^open +1 +1.0000 +1.0000 +1.0000 +0.5000 +1.0000 +0.6667 `, out)

		out, err = command(t,
			"eval", "--bundle", reference, "--data", data, "--layout", layout, "--limit", "1")
		require.NoError(t, err)
		require.Contains(t, out, "1 images, 1 labels")
	}
	_, err := command(t, "eval", "--bundle", reference, "--data", data, "--layout", "coco", "--split", "val")
	require.ErrorContains(t, err, "no *.json for the split val")
}

// A read that takes too long makes the camera begin anew, at its first image: without an end, over and over.
func TestReplayEndsWhenTheWorkerBeginsAnew(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	path := file(t, fmt.Sprintf("place: acme/dongguan/smt\nstations:\n  - name: line3/aoi-1\n"+
		"    camera: \"v4l2:/dev/video0\"\n    bundle: %s\n", dir))
	var out string
	for names, says := range map[string]string{
		"1.png 2.png":      "after 2 images the worker began anew with 1.png: reading the next one took too",
		"1.png 2.png gone": "after 2 images the worker brings no more: 2 captures hang",
	} {
		t.Setenv(brings, names)
		out, err = command(t, "replay", path, "--images", t.TempDir(), "-o", "json")
		require.ErrorContains(t, err, says)
		var all []replayed
		require.NoError(t, json.Unmarshal([]byte(out), &all))
		require.Len(t, all, 2, "what was replayed is shown")
	}
	t.Setenv(brings, "gone")
	out, err = command(t, "replay", path, "--images", t.TempDir(), "-o", "json")
	require.ErrorContains(t, err, "after 0 images the worker brings no more")
	require.Empty(t, out)
}

func TestReplayAndALookAtAFrameWaitAsLongAsTheStation(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	told := filepath.Join(t.TempDir(), "args")
	t.Setenv(toldArgs, told)
	t.Chdir(t.TempDir())
	picture := pictureFile(t)
	for keys, want := range map[string]string{
		"": " open 10s read 10s",
		"    read_timeout: 30s\n    open_timeout: 11s\n": " open 11s read 30s",
	} {
		path := file(t, fmt.Sprintf("place: acme/dongguan/smt\nworker: {memory_limit: 4294967296}\n"+
			"stations:\n  - name: line3/aoi-1\n    camera: \"v4l2:/dev/video0\"\n    bundle: %s\n%s",
			dir, keys))
		for _, args := range [][]string{
			{"replay", path, "--images", t.TempDir()}, {"check", path, "--frame", picture},
		} {
			require.NoError(t, os.RemoveAll(told))
			_, err := command(t, args...)
			require.Equal(t, args[0] == "replay", err == nil, "the scripted worker draws no preview: %v", err)
			raw, err := os.ReadFile(told)
			require.NoError(t, err)
			require.Contains(t, string(raw), want)
			require.Contains(t, string(raw), "--memory-limit 4294967296 ")
		}
	}
}

func TestReplayTakesLibraryAndThreadsOfTheConfiguration(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	told := filepath.Join(t.TempDir(), "args")
	t.Setenv(toldArgs, told)
	t.Setenv("SIGHTLINE_ONNXRUNTIME", "/environment.so")
	for _, c := range []struct {
		key, want string
		flags     []string
	}{
		{"", "library /environment.so ", nil},
		{"worker: {onnxruntime: /file.so, threads: 3}\n", "library /file.so parallel 0 threads 3 ", nil},
		{
			"worker: {onnxruntime: /file.so, threads: 3}\n", "library /flag.so parallel 0 threads 5 ",
			[]string{"--onnxruntime", "/flag.so", "--threads", "5"},
		},
	} {
		path := file(t, fmt.Sprintf("place: acme/dongguan/smt\n%sstations:\n"+
			"  - {name: line3/aoi-1, camera: \"sim:\", bundle: %s}\n", c.key, dir))
		_, err := command(t, append([]string{"replay", path, "--images", t.TempDir()}, c.flags...)...)
		require.NoError(t, err)
		raw, err := os.ReadFile(told)
		require.NoError(t, err)
		require.Contains(t, string(raw), c.want)
	}
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

// A defect may be among what the worker left out.
func TestNoCommandPassesWhatMayHoldADefectThatWasLeftOut(t *testing.T) {
	t.Setenv(leavesOut, "1")
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	const why = "none of the 1 most certain findings counts, and 7 more, which may, were left out"
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - {name: line3/aoi-1, camera: "v4l2:/dev/video0", bundle: %s}
`, dir))
	out, err := command(t, "replay", path, "--images", t.TempDir(), "-o", "json")
	require.NoError(t, err)
	var all []replayed
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Equal(t, event.Unknown, all[0].Verdict)
	require.Equal(t, "bad_output", all[0].Reason)
	require.Contains(t, all[0].Detail, why)
	out, err = command(t, "sheet", board(t, 64, 64), "--bundle", reference)
	require.ErrorIs(t, err, errFound)
	require.Contains(t, out, "not inspected: "+why)
}
