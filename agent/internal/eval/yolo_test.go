package eval_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

func yolo(dir string) eval.Source {
	return eval.Source{Dir: dir, Layout: eval.LayoutYOLO, Classes: boards()}
}

func TestYOLOLabelsMirrorTheImages(t *testing.T) {
	set, err := eval.Load(yolo(folder(t, map[string]string{
		"images/a.PNG": "", "images/val/b.jpg": "", "images/val/deep/c.d.jpg": "", "images/notes.md": "",
		"images/.hidden.jpg": "", "labels/a.txt": "5 0.5 0.25 0.5 0.25\n0 0.5 0.5 1 1\n",
		"labels/val/deep/c.d.txt": "",
	})))
	require.NoError(t, err)
	require.True(t, set.Shares)
	require.Equal(t, []string{"a.PNG", "val/b.jpg", "val/deep/c.d.jpg"}, names(set))
	require.Equal(t, []eval.Box{
		{Class: 5, Score: 1, Corners: [4]float32{0.25, 0.125, 0.75, 0.375}},
		{Class: 0, Score: 1, Corners: [4]float32{0, 0, 1, 1}},
	}, set.Samples[0].Labels)
	require.Equal(t, 1, set.Unlabelled, "val/b.jpg; an empty file is a label")
	require.Empty(t, set.Names)
}

func TestYOLOClassesAreMappedByNameWhereTheyHaveNames(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"list":            {"data.yaml": "path: x\nnames: [Pin Hole, OPEN]\n"},
		"map":             {"data.yaml": "nc: 2\nnames:\n  1: open\n  0: pin_hole\n"},
		"text":            {"classes.txt": "pin-hole\nopen\n"},
		"beside labels":   {"labels/classes.txt": "pin-hole\nopen\n", "data.yaml": "train: images\n"},
		"yaml goes first": {"classes.txt": "open\nshort\n", "data.yaml": "names: [pin-hole, open]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{
				"images/a.png": "", "labels/a.txt": "0 .5 .5 .5 .5\n1 .5 .5 .5 .5\n",
			})
			for file, content := range files {
				write(t, dir, file, content)
			}
			set, err := eval.Load(yolo(dir))
			require.NoError(t, err)
			require.Equal(t, 5, set.Samples[0].Labels[0].Class)
			require.Equal(t, 0, set.Samples[0].Labels[1].Class)
			require.NotEmpty(t, set.Names)
		})
	}
}

func TestYOLOSplitsAreFoundInsideAndOutsideOfImages(t *testing.T) {
	inside := folder(t, map[string]string{
		"images/train/a.png": "", "images/val/b.png": "", "labels/val/b.txt": "0 .5 .5 .5 .5",
		"data.yaml": "names: [short]",
	})
	outside := folder(t, map[string]string{
		"train/images/a.png": "", "val/images/b.png": "", "val/labels/b.txt": "0 .5 .5 .5 .5",
		"data.yaml": "names: [short]",
	})
	for dir, want := range map[string]string{inside: "val/b.png", outside: "b.png"} {
		source := yolo(dir)
		source.Split = "val"
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.Equal(t, []string{want}, names(set))
		require.Equal(t, 1, set.Samples[0].Labels[0].Class)
	}
	_, err := eval.Load(yolo(outside))
	require.ErrorContains(t, err, "choose with --split one of train, val")
	source := yolo(outside)
	source.Split = "../val"
	_, err = eval.Load(source)
	require.ErrorIs(t, err, eval.ErrNoData)
}

func TestBrokenYOLOLabelsNameFileLineAndReason(t *testing.T) {
	for name, c := range map[string]struct{ in, yaml, want string }{
		"class beyond the model": {"6 .5 .5 .1 .1", "", "class 6, but the bundle has classes 0 to 5"},
		"class beyond the names": {"2 .5 .5 .1 .1", "names: [open, short]", "names classes 0 to 1"},
		"unknown name": {
			"1 .5 .5 .1 .1", "names: [open, scratch]",
			`no such class: "scratch"; the labels have open, scratch; the bundle has open, short,`,
		},
		"names beyond the bounds": {"0 .5 .5 .1 .1", "names: {99999999: open}", "is not a number of a class"},
		"outline":                 {"0 .1 .1 .2 .1 .2 .2", "", "line 1: 7 numbers, not five"},
		"pixels":                  {"0 320 .5 .1 .1", "", `line 1: "320" is not within 0 to 1`},
		"negative":                {"-1 .5 .5 .1 .1", "", `"-1" is not within`},
		"nan":                     {"0 nan .5 .1 .1", "", `"nan" is not within`},
		"half a class":            {"0.5 .5 .5 .1 .1", "", `"0.5" is not the number of a class`},
		"word":                    {"0 .5 .5 .1 .1\nopen .5 .5 .1 .1", "", `line 2: "open" is no number`},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"images/a.png": "", "labels/a.txt": c.in}
			if c.yaml != "" {
				files["data.yaml"] = c.yaml
			}
			_, err := eval.Load(yolo(folder(t, files)))
			require.ErrorIs(t, err, eval.ErrLabels)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestImagesWithoutAnyLabelsAreAWrongFolder(t *testing.T) {
	_, err := eval.Load(yolo(folder(t, map[string]string{"images/a.png": "", "images/b.png": ""})))
	require.ErrorIs(t, err, eval.ErrNoData)
	require.ErrorContains(t, err, "none of the 2 images")
}
