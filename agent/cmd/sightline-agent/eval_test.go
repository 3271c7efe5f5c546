package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/deeppcbtest"
)

// heldOut is what the ids of the boards begin with that nobody trains on: HELD_OUT_GROUP of
// models/training/boards.py.
const heldOut = "50600"

// The reference models' twins that were not trained on these, and the models themselves, which were.
const (
	heldOutModel  = "../../../models/training/held-out/pcb-defects"
	heldOutPair   = "../../../models/training/held-out/pcb-defects-pair"
	pairReference = "../../../models/pcb-defects-pair"
)

// deepPCB finds the data set, without which nobody would know what the reference models are worth.
func deepPCB(t *testing.T) string {
	t.Helper()
	dir := deeppcbtest.Find(t)
	require.NotEmpty(t, dir, deeppcbtest.Remedy)
	return dir
}

// heldOutBoards links those of the boards with their templates and labels.
func heldOutBoards(t *testing.T) string {
	t.Helper()
	all, some := deepPCB(t), t.TempDir()
	for _, folder := range []string{"images", "labels"} {
		require.NoError(t, os.Mkdir(filepath.Join(some, folder), 0o750))
		found, err := filepath.Glob(filepath.Join(all, folder, heldOut+"*"))
		require.NoError(t, err)
		for _, file := range found {
			require.NoError(t, os.Symlink(file, filepath.Join(some, folder, filepath.Base(file))))
		}
	}
	return some
}

// simulatedBoards draws the first of those that docs/benchmarks.md has figures of, which nobody trained on.
func simulatedBoards(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	draw := exec.CommandContext(t.Context(), program(t, "simboards"), "-out", dir, "-boards", "40",
		"-seed", "2002", "-clean", "0.6")
	out, err := draw.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

type measured struct {
	Images    int     `json:"images"`
	Labels    int     `json:"labels"`
	F         float64 `json:"f_iou33"`
	MAP       float64 `json:"map_iou33"`
	MAP5095   float64 `json:"map50_95"`
	ClassesBy string  `json:"classes_by"`
}

// evaluate runs the command eval with the real worker.
func evaluate(t *testing.T, worker string, args ...string) measured {
	t.Helper()
	out, beside, err := said(t, "", append([]string{"eval", "--worker", worker, "-o", "json"}, args...)...)
	require.NoError(t, err, beside)
	var report measured
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	return report
}

// Each floor is about a point below what was measured on these boards, of simulated ones one box of 41, which
// leaves room for another machine's arithmetic in int8, and none for a detector that got worse.
func TestDetectorsFindTheDefectsOfBoardsThatNobodyTrainedOn(t *testing.T) {
	worker, group, simulated := realWorker(t), heldOutBoards(t), simulatedBoards(t)
	for name, c := range map[string]struct {
		data   string
		images int
		by     []string
		mean   float64 // average precision at IoU 0.33
		f      float64
	}{
		"single image, real boards":      {group, 50, []string{"--bundle", heldOutModel}, 0.950, 0.828},
		"pair, real boards":              {group, 50, []string{"--bundle", heldOutPair}, 0.970, 0.972},
		"compare, real boards":           {group, 50, []string{"--method", "compare"}, 0.988, 0.978},
		"single image, simulated boards": {simulated, 40, []string{"--bundle", reference}, 0.97, 0.915},
		"pair, simulated boards":         {simulated, 40, []string{"--bundle", pairReference}, 0.97, 0.985},
	} {
		t.Run(name, func(t *testing.T) {
			report := evaluate(t, worker, append(c.by, "--data", c.data)...)
			t.Logf("%+v", report)
			require.Equal(t, c.images, report.Images)
			require.GreaterOrEqual(t, report.MAP, c.mean)
			require.GreaterOrEqual(t, report.F, c.f)
		})
	}
	t.Run("the same in every layout", func(t *testing.T) { measureTheSameInEveryLayout(t, worker, group) })
}

// otherLayouts writes boards as yolo, templates in a folder of their own, and as coco, beside the images.
func otherLayouts(t *testing.T, boards string) (yolo, coco string) {
	t.Helper()
	const side = 640.0
	type object = map[string]any
	names := []string{"Open", "Short", "Mouse Bite", "SPUR", "copper", "pinhole"}
	var images, annotations, categories []object
	for i, name := range names {
		categories = append(categories, object{"id": 10 + i, "name": name})
	}
	yolo, coco = t.TempDir(), t.TempDir()
	labels, err := filepath.Glob(filepath.Join(boards, "labels", "*.txt"))
	require.NoError(t, err)
	for n, file := range labels {
		id := strings.TrimSuffix(filepath.Base(file), ".txt")
		for end, beside := range map[string]string{"_test": "images/val/", "_temp": "templates/val/"} {
			picture := read(t, filepath.Join(boards, "images", id+end+".jpg"))
			put(t, filepath.Join(yolo, beside+id+".jpg"), picture)
			put(t, filepath.Join(coco, "val", id+end+".jpg"), picture)
		}
		images = append(images, object{"id": n, "file_name": id + "_test.jpg"})
		var lines bytes.Buffer
		for line := range strings.Lines(string(read(t, file))) {
			var x, y, right, bottom, class float64
			_, err = fmt.Sscan(line, &x, &y, &right, &bottom, &class)
			require.NoError(t, err)
			w, h := right+1-x, bottom+1-y
			_, _ = fmt.Fprintln(&lines, class-1, (x+w/2)/side, (y+h/2)/side, w/side, h/side)
			annotations = append(annotations, object{
				"id": len(annotations), "image_id": n, "category_id": 9 + class,
				"bbox": []float64{x, y, w, h},
			})
		}
		put(t, filepath.Join(yolo, "labels", "val", id+".txt"), lines.Bytes())
	}
	all, err := json.Marshal(object{"images": images, "annotations": annotations, "categories": categories})
	require.NoError(t, err)
	put(t, filepath.Join(coco, "annotations", "instances_val.json"), all)
	put(t, filepath.Join(yolo, "data.yaml"), []byte("names: ["+strings.Join(names, ", ")+"]\n"))
	return yolo, coco
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return raw
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

// measureTheSameInEveryLayout takes ten boards with their templates.
func measureTheSameInEveryLayout(t *testing.T, worker, boards string) {
	t.Helper()
	yolo, coco := otherLayouts(t, boards)
	for classesBy, by := range map[string][]string{
		"none": {"--method", "compare", "--limit", "10"},
		"name": {"--bundle", heldOutPair, "--limit", "10"},
	} {
		want := evaluate(t, worker, append(by, "--data", boards)...)
		require.Greater(t, want.MAP, 0.9)
		require.Equal(t, 10, want.Images)
		want.ClassesBy = classesBy
		for layout, data := range map[string]string{"yolo": yolo, "coco": coco} {
			got := evaluate(t, worker, append(by, "--data", data, "--layout", layout, "--split", "val")...)
			require.Equal(t, want, got, "%s, %s", layout, by)
		}
	}
}
