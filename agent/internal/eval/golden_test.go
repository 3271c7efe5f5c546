package eval_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// listing are annotations of images without any label.
func listing(names ...string) string {
	images := make([]string, 0, len(names))
	for i, name := range names {
		images = append(images, fmt.Sprintf(`{"id": %d, "file_name": %q}`, i+1, name))
	}
	return `{"images": [` + strings.Join(images, ", ") + `]}`
}

func TestGoldenTemplatesAreFoundInEveryLayout(t *testing.T) {
	const noList = ""
	val, asked := yolo("."), coco("data")
	val.Split = "val"
	asked.Annotations = "elsewhere/any.json"
	for name, c := range map[string]struct {
		source      eval.Source // its folder is below that of the files
		annotations string      // name the first of the files, by folder a, if it lies there, and its own
		want        string
		files       []string
	}{
		"deeppcb, flat": {deeppcb("."), noList, "images/1_temp.jpg", []string{
			"images/1_test.jpg", "labels/1.txt",
		}},
		"deeppcb, published": {deeppcb("."), noList, "PCBData/g/1/1_temp.jpg", []string{
			"PCBData/g/1/1_test.jpg", "PCBData/g/1_not/1.txt",
		}},
		"deeppcb, with another end": {deeppcb("."), noList, "images/1_temp.png", []string{
			"images/1_test.jpg", "labels/1.txt",
		}},
		"deeppcb, in a folder": {deeppcb("."), noList, "templates/1_test.jpg", []string{
			"images/1_test.jpg", "labels/1.txt",
		}},
		"yolo, beside": {yolo("."), noList, "images/1_temp.bmp", []string{
			"images/1_test.png", "labels/1_test.txt",
		}},
		"yolo, beside and in a folder": {yolo("."), noList, "images/1_temp.bmp", []string{
			"images/1_test.png", "labels/1_test.txt", "templates/1_test.bmp",
		}},
		"yolo, in a folder": {yolo("."), noList, "templates/1.png", []string{
			"images/1.png", "labels/1.txt",
		}},
		"yolo, in a deep folder, with another end": {yolo("."), noList, "templates/a/1.TIFF", []string{
			"images/a/1.png", "labels/a/1.txt", "templates/1.png", "templates/a/10.png", "templates/a/1.txt",
		}},
		"yolo, split inside": {val, noList, "templates/val/1.png", []string{
			"images/val/1.png", "labels/val/1.txt",
		}},
		"yolo, split outside": {val, noList, "val/templates/1.png", []string{
			"val/images/1.png", "val/labels/1.txt",
		}},
		"coco, beside": {coco("."), "any.json", "images/1_temp.png", []string{"images/1_test.png"}},
		"coco, in a folder beside images": {coco("."), "any.json", "templates/1.png", []string{
			"images/1.png",
		}},
		"coco, in a folder beside that of a split": {
			coco("."), "annotations/instances_val2017.json", "templates/val2017/1.png",
			[]string{"val2017/1.png"},
		},
		"coco, in the data set's folder": {coco("."), "any.json", "templates/1.png", []string{"1.png"}},
		"coco, beside annotations elsewhere": {
			asked, "elsewhere/any.json", "elsewhere/templates/a/1.png",
			[]string{"elsewhere/a/1.png", "data/readme.md"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range append(c.files, c.want) {
				write(t, dir, file, "")
			}
			if c.annotations != noList {
				at, image := filepath.Split(c.files[0])
				if filepath.Base(at) == "a" {
					image = "a/" + image
				}
				write(t, dir, c.annotations, listing(image))
			}
			c.source.Dir = filepath.Join(dir, c.source.Dir)
			if c.source.Annotations != "" {
				c.source.Annotations = filepath.Join(dir, c.source.Annotations)
			}
			set, err := eval.Load(c.source)
			require.NoError(t, err)
			require.Len(t, set.Samples, 1, "a template is no image of the data set")
			require.Empty(t, set.Samples[0].Template, "none was asked for")
			c.source.Templates = true
			set, err = eval.Load(c.source)
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, c.want), set.Samples[0].Template)
		})
	}
}

func TestFoldersOfImagesMayBeNamedFromTheCurrentOne(t *testing.T) {
	t.Chdir(folder(t, map[string]string{
		"boards/images/1.png": "", "boards/templates/1.png": "", "boards/labels/1.txt": "",
	}))
	for _, dir := range []string{"boards", "./boards/", "../" + filepath.Base(workingFolder(t)) + "/boards"} {
		source := yolo(dir)
		source.Templates = true
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.FileExists(t, set.Samples[0].Template)
	}
}

func workingFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	require.NoError(t, err)
	return dir
}

func TestImagesWithoutAGoldenTemplateSayWhichFilesWereLookedFor(t *testing.T) {
	dir := folder(t, map[string]string{
		"images/0.png": "", "templates/0.png": "", "images/1_test.png": "", "images/2_test.png": "",
		"labels/0.txt":                         "",
		"any.json":                             listing("1_test.png", "0.png", "2_test.png"),
		"templates/1_test.png/is/a/folder.txt": "",
	})
	for _, source := range []eval.Source{yolo(dir), coco(dir)} {
		source.Templates = true
		_, err := eval.Load(source)
		require.ErrorIs(t, err, eval.ErrNoTemplate)
		require.ErrorContains(t, err, "2 of 3 images have none, which this inspection needs; for 1_test.png "+
			"looked for "+dir+"/images/1_temp and "+dir+"/templates/1_test, ending in .jpg, .jpeg, .png")
	}
	source := yolo(dir)
	source.Templates, source.Limit = true, 1
	_, err := eval.Load(source)
	require.NoError(t, err, "others are not inspected")
	board := deeppcb(folder(t, map[string]string{"images/7_test.jpg": "", "labels/7.txt": ""}))
	board.Templates = true
	_, err = eval.Load(board)
	require.ErrorContains(t, err, "for images/7_test.jpg looked for "+board.Dir+"/images/7_temp and ")
}

func TestOfTwoGoldenTemplatesThePersonKeepsOne(t *testing.T) {
	source := yolo(folder(t, map[string]string{
		"images/0.png": "", "labels/0.txt": "", "templates/0.png": "", "templates/0.jpg": "",
	}))
	source.Templates = true
	_, err := eval.Load(source)
	require.ErrorIs(t, err, eval.ErrNoTemplate)
	require.ErrorContains(t, err, "which of 0.jpg, 0.png in ")
}

// Otherwise a template would be a good board that nobody meant, and alarms on it would count.
func TestAGoldenTemplateBesideAnImageIsNotInspected(t *testing.T) {
	files := map[string]string{
		"images/val/1_test.jpg": "", "images/val/1_temp.png": "", "labels/val/1_test.txt": "0 .5 .5 .5 .5",
		"images/val/2_temp.png": "", "images/1_temp.png": "",
	}
	set, err := eval.Load(yolo(folder(t, files)))
	require.NoError(t, err)
	require.Equal(t, []string{"1_temp.png", "val/1_test.jpg", "val/2_temp.png"}, names(set),
		"what is beside no image that is called so is one itself")
	require.Equal(t, 2, set.Unlabelled)
	files["labels/val/1_temp.txt"] = ""
	set, err = eval.Load(yolo(folder(t, files)))
	require.NoError(t, err, "converters write empty files of labels")
	require.Len(t, set.Samples, 3)
	files["labels/val/1_temp.txt"] = "0 .5 .5 .5 .5"
	_, err = eval.Load(yolo(folder(t, files)))
	require.ErrorIs(t, err, eval.ErrLabels)
	require.ErrorContains(t, err,
		"1_temp.png is the golden template of val/1_test.jpg, by its name, and is not inspected, but has")
}
