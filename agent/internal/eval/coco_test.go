package eval_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// annotated has the images 3 and 7, of which 7 comes first and has no annotation.
const annotated = `{
 "info": {"any": ["thing"]},
 "annotations": [
  {"id": 11, "image_id": 3, "category_id": 20, "bbox": [10.5, 20, 30.25, 40], "area": 1, "iscrowd": 0,
   "segmentation": [[1, 2, 3, 4, 5, 6]]},
  {"id": 12, "image_id": 3, "category_id": 10, "bbox": [0, 0, 100, 100], "iscrowd": 1}],
 "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "sub/a.png", "width": 640}],
 "categories": [{"id": 20, "name": "Pin_Hole"}, {"id": 10, "name": "open"}, {"id": 0, "name": "defects"}]
}`

func coco(dir string) eval.Source {
	return eval.Source{Dir: dir, Layout: eval.LayoutCOCO, Classes: boards()}
}

// pictures are the two of annotated, in a folder.
func pictures(t *testing.T, images string, files map[string]string) string {
	t.Helper()
	dir := folder(t, files)
	write(t, dir, images+"/sub/a.png", "")
	write(t, dir, images+"/b.png", "")
	return dir
}

func TestCOCOIsReadWhereverItsImagesLie(t *testing.T) {
	for name, c := range map[string]struct{ file, images, split, asked string }{
		"images":           {"annotations/any.json", "images", "", ""},
		"beside":           {"_annotations.coco.json", ".", "", ""},
		"split":            {"annotations/instances_val2017.json", "val2017", "", ""},
		"images and split": {"annotations/instances_val2017.json", "images/val2017", "val", ""},
		"named split":      {"annotations/val.json", "val", "val", ""},
		"split's folder":   {"valid/_annotations.coco.json", "valid", "valid", ""},
		"asked for":        {"elsewhere/any.json", "images", "", "elsewhere/any.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := pictures(t, c.images, map[string]string{c.file: annotated})
			source := coco(dir)
			source.Split = c.split
			if c.asked != "" {
				source.Annotations = filepath.Join(dir, c.asked)
			}
			set, err := eval.Load(source)
			require.NoError(t, err)
			require.Equal(t, []eval.Sample{
				{
					Name: "sub/a.png", Path: filepath.Join(dir, c.images, "sub", "a.png"),
					Labels: []eval.Box{
						{Class: 5, Score: 1, Corners: [4]float32{10.5, 20, 40.75, 60}},
						{Class: 0, Score: 1, Corners: [4]float32{0, 0, 100, 100}, Ignored: true},
					},
				},
				{Name: "b.png", Path: filepath.Join(dir, c.images, "b.png")},
			}, set.Samples, "in the order of the ids")
			require.Zero(t, set.Unlabelled)
		})
	}
}

func TestSeveralFilesOfAnnotationsAreForThePersonToChoose(t *testing.T) {
	dir := pictures(t, "images", map[string]string{
		"annotations/a.json": annotated, "annotations/b.json": "{}",
	})
	_, err := eval.Load(coco(dir))
	require.ErrorIs(t, err, eval.ErrNoData)
	require.ErrorContains(t, err, "annotations/a.json, annotations/b.json; choose with --annotations FILE")
	source := coco(dir)
	source.Split = "a"
	_, err = eval.Load(source)
	require.NoError(t, err)
	source.Split = "c"
	_, err = eval.Load(source)
	require.ErrorContains(t, err, "no *.json for the split c")
}

func TestBrokenAnnotationsNameFilePlaceAndReason(t *testing.T) {
	replaced := func(old, by string) string { return strings.Replace(annotated, old, by, 1) }
	for name, c := range map[string]struct{ in, want string }{
		"unknown category": {
			replaced(`"Pin_Hole"`, `"scratch"`),
			`annotation 11: the bundle has no such class: "scratch"; the labels have defects, open, ` +
				`scratch; the bundle has open, short,`,
		},
		"category that is none": {
			replaced(`"category_id": 10`, `"category_id": 99`),
			"annotation 12: category 99",
		},
		"image that is none": {replaced(`"image_id": 3`, `"image_id": 4`), "annotation 11 is of image 4"},
		"no bbox": {
			replaced(`"bbox": [0, 0, 100, 100]`, `"bbox": []`),
			"annotation 12: bbox has 0",
		},
		"five numbers": {
			replaced(`[0, 0, 100, 100]`, `[0, 0, 1, 1, 1]`),
			"annotation 12: bbox has 5",
		},
		"inside out": {
			replaced(`100, 100]`, `100, -1]`),
			"annotation 12: bbox has the size 100 x -1",
		},
		"absurd": {replaced(`100, 100]`, `1e300, 1]`), "annotation 12: bbox has 1e+300"},
		"crowd": {
			replaced(`"iscrowd": 1`, `"iscrowd": 2`),
			"line 6: annotations[1]: 2 is neither 0",
		},
		"text for a number": {
			replaced(`"image_id": 3`, `"image_id": "3"`),
			"annotations[0]: json: cannot",
		},
		"no id": {
			replaced(`"id": 7, `, ""),
			"line 7: images[0]: an image needs id and file_name",
		},
		"no name": {
			replaced(`"name": "open"`, `"x": 1`),
			"categories[1]: a category needs id and name",
		},
		"same id":           {replaced(`"id": 7`, `"id": 3`), "two images have the id 3"},
		"same file":         {replaced("sub/a.png", "b.png"), "the images 3 and 7 are both b.png"},
		"two names":         {replaced(`"id": 10`, `"id": 20`), `"Pin_Hole" and "open" have the id 20`},
		"missing image":     {replaced("b.png", "c.png"), "image 7: no file c.png in "},
		"path to elsewhere": {replaced("b.png", "../b.png"), `file_name "../b.png" is no path below`},
		"cut off":           {annotated[:len(annotated)-30], "line 8: categories[2]: unexpected EOF"},
		"list":              {"[]", "line 1: the file does not begin with {"},
		"empty":             {"", "unexpected EOF"},
		"no list":           {`{"images": 3}`, "images is no list"},
		"nothing":           {"{}", "has no images"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eval.Load(coco(pictures(t, "images", map[string]string{"any.json": c.in})))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "any.json")
		})
	}
}

// A decoder keeps a whole entry in memory, so that a file must not be one entry.
func TestAnEndlessEntryIsRefused(t *testing.T) {
	endless := `{"images": [{"id": 1, "file_name": "b.png", "x": "` + strings.Repeat("x", 20<<20) + `"}]}`
	_, err := eval.Load(coco(pictures(t, "images", map[string]string{"any.json": endless})))
	require.ErrorIs(t, err, eval.ErrLabels)
	require.ErrorContains(t, err, fmt.Sprintf("an entry is over %d bytes", 16<<20))
	long := strings.Replace(annotated, `"info"`, `"x": "`+strings.Repeat("x", 9<<20)+
		`", "y": "`+strings.Repeat("y", 9<<20)+`", "info"`, 1)
	_, err = eval.Load(coco(pictures(t, "images", map[string]string{"any.json": long})))
	require.NoError(t, err, "two entries are not one")
}
