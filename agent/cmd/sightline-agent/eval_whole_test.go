package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	scale "golang.org/x/image/draw"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// kinds are the classes of the simulated boards' labels, from 1 on.
func kinds() []string {
	return []string{"good", "open", "short", "mousebite", "spur", "copper", "pin-hole"}
}

// drawnBoards are simulated ones of one product, as simboards writes them.
func drawnBoards(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	args = append([]string{"-out", dir}, args...)
	out, err := exec.CommandContext(t.Context(), program(t, "simboards"), args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// labelledBoard is a picture with what is labelled on it, by class.
type labelledBoard struct {
	name    string
	picture *image.Gray
	boxes   []image.Rectangle
	classes []int
}

func labelledBoards(t *testing.T, dir string) []labelledBoard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "labels", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []labelledBoard
	for _, file := range files {
		b := labelledBoard{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		f, err := os.Open(filepath.Join(dir, "images", b.name+"_test.jpg"))
		require.NoError(t, err)
		picture, err := jpeg.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		b.picture = image.NewGray(picture.Bounds())
		draw.Draw(b.picture, b.picture.Rect, picture, image.Point{}, draw.Src)
		for line := range strings.Lines(string(read(t, file))) {
			var r image.Rectangle
			var class int
			_, err := fmt.Sscan(line, &r.Min.X, &r.Min.Y, &r.Max.X, &r.Max.Y, &class)
			require.NoError(t, err)
			r.Max = r.Max.Add(image.Pt(1, 1)) // inclusive in the file
			b.boxes, b.classes = append(b.boxes, r), append(b.classes, class)
		}
		all = append(all, b)
	}
	return all
}

func putPNG(t *testing.T, path string, picture image.Image) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture))
	require.NoError(t, f.Close())
}

// measuredWhole runs eval with the real worker, as JSON and as a table.
func measuredWhole(t *testing.T, worker, family, data string, more ...string) (eval.Report, string) {
	t.Helper()
	args := slices.Concat(
		[]string{"eval", "--worker", worker, "--bundle", networks + family, "--data", data}, more)
	out, beside, err := said(t, "", append(args, "-o", "json")...)
	require.NoError(t, err, beside)
	var report eval.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	table, beside, err := said(t, "", args...)
	require.NoError(t, err, beside)
	return report, table
}

// The network knows the first 70 good boards of this product, in a quarter of their pixels. The labels' boxes
// are larger than the defects.
func TestAnomaliesAreEvaluatedByARealWorker(t *testing.T) {
	const known, side = 70, 256
	worker, data, goods := realWorker(t), t.TempDir(), 0
	small := func(of image.Image) image.Image {
		to := image.NewGray(image.Rect(0, 0, side, side))
		scale.BiLinear.Scale(to, to.Rect, of, of.Bounds(), draw.Src, nil)
		return to
	}
	for _, b := range labelledBoards(t, drawnBoards(t, "-boards", "160", "-seed", "4", "-product", "7",
		"-clean", "0.7")) {
		kind := "good"
		if len(b.boxes) == 0 {
			goods++
			if goods <= known {
				continue
			}
		} else {
			kind = "defect"
			mask := image.NewGray(b.picture.Rect)
			for _, box := range b.boxes {
				draw.Draw(mask, box, image.NewUniform(color.White), image.Point{}, draw.Src)
			}
			putPNG(t, filepath.Join(data, "ground_truth", kind, b.name+"_mask.png"), small(mask))
		}
		putPNG(t, filepath.Join(data, "test", kind, b.name+".png"), small(b.picture))
	}
	report, table := measuredWhole(t, worker, "anomaly", data)
	t.Log(table)
	require.Equal(t, report.Images, report.Good+report.Defective)
	require.Equal(t, report.Defective, report.Masks)
	require.Greater(t, *report.ImageAUROC, 0.9)
	require.Greater(t, *report.PixelAUROC, 0.85)
	require.GreaterOrEqual(t, report.ImageFBest, report.ImageF)
	for _, key := range []string{"image_auroc", "false_rejects", "false_accepts", "aupro", "defect"} {
		require.Contains(t, table, key)
	}
	normalized, _ := measuredWhole(t, worker, "anomaly-normalized", data)
	require.InDelta(t, *report.ImageAUROC, *normalized.ImageAUROC, 0.02, "the same, cut off at 0 and 1")
	require.InDelta(t, *report.AUPRO, *normalized.AUPRO, 0.05)
}

func TestClassesAreEvaluatedByARealWorker(t *testing.T) {
	const side = 64 // of the network's crops
	worker, data := realWorker(t), t.TempDir()
	for _, b := range labelledBoards(t, drawnBoards(t, "-boards", "60", "-seed", "6")) {
		for i, box := range b.boxes {
			middle := box.Min.Add(box.Max).Div(2)
			at := image.Rect(0, 0, side, side).Add(middle.Sub(image.Pt(side/2, side/2)))
			if at.In(b.picture.Rect) {
				name := filepath.Join(kinds()[b.classes[i]], fmt.Sprintf("%s-%d.png", b.name, i))
				putPNG(t, filepath.Join(data, name), b.picture.SubImage(at))
			}
		}
		if corner := image.Rect(0, 0, side, side); unlabelled(b.boxes, corner) {
			putPNG(t, filepath.Join(data, "good", b.name+".png"), b.picture.SubImage(corner))
		}
	}
	report, table := measuredWhole(t, worker, "classifier", data)
	t.Log(table)
	require.Greater(t, report.Images, 100)
	require.Greater(t, report.Accuracy, 0.7)
	require.Equal(t, kinds(), report.Names)
	require.Positive(t, report.Good)
	require.Contains(t, table, "taken for")
}

// unlabelled says that nothing is labelled within.
func unlabelled(boxes []image.Rectangle, within image.Rectangle) bool {
	for _, box := range boxes {
		if box.Overlaps(within) {
			return false
		}
	}
	return true
}

// What a network finds is labelled, as COCO has it, and then it is moved: to the outlines there is more than
// to their boxes.
func TestMasksAreEvaluatedByARealWorker(t *testing.T) {
	worker := realWorker(t)
	for _, family := range []string{"yolov8-seg", "semantic"} {
		t.Run(family, func(t *testing.T) {
			all, b := judged(t, worker, family, "")
			labelled := func(shift float64) string {
				type object = map[string]any
				data, images, annotations := t.TempDir(), []object{}, []object{}
				for n, one := range all {
					picture := read(t, filepath.Join(b.Dir, b.Manifest.Golden.Samples[n].Image))
					put(t, filepath.Join(data, "images", one.Image), picture)
					images = append(images, object{"id": n, "file_name": one.Image})
					for _, d := range one.Defects {
						corners := []float64{}
						for _, at := range d.Outline {
							corners = append(corners, float64(at[0])+shift, float64(at[1]))
						}
						annotations = append(annotations, object{
							"id": len(annotations), "image_id": n, "segmentation": [][]float64{corners},
							"category_id": slices.Index(b.ClassNames(), d.Class),
							"bbox": []float32{
								d.Box[0], d.Box[1], d.Box[2] - d.Box[0], d.Box[3] - d.Box[1],
							},
						})
					}
				}
				categories := []object{}
				for i, name := range b.ClassNames() {
					categories = append(categories, object{"id": i, "name": name})
				}
				raw, err := json.Marshal(object{
					"images": images, "annotations": annotations, "categories": categories,
				})
				require.NoError(t, err)
				put(t, filepath.Join(data, "annotations.json"), raw)
				return data
			}
			same, table := measuredWhole(t, worker, family, labelled(0), "--layout", "coco")
			require.Contains(t, table, "mask_map50_95")
			require.NotContains(t, table, "not by outlines")
			require.InDelta(t, 1, *same.MaskMAP50, 1e-9)
			require.InDelta(t, 1, *same.MaskMAP5095, 1e-9)
			moved, _ := measuredWhole(t, worker, family, labelled(4), "--layout", "coco")
			require.InDelta(t, 1, moved.MAP5095, 1e-9, "boxes are where they were")
			require.Less(t, *moved.MaskMAP5095, 0.95)
			require.NotNil(t, moved.Classes[0].MaskAP50)
		})
	}
}
