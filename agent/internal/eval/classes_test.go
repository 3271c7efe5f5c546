package eval_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// named reads one label of a class of this name, in a data set of its own, in each layout that has names.
func named(t *testing.T, name string, source eval.Source) map[string]func() (*eval.Dataset, error) {
	t.Helper()
	load := func(layout string, files map[string]string) func() (*eval.Dataset, error) {
		return func() (*eval.Dataset, error) {
			source.Dir, source.Layout = folder(t, files), layout
			return eval.Load(source)
		}
	}
	return map[string]func() (*eval.Dataset, error){
		eval.LayoutYOLO: load(eval.LayoutYOLO, map[string]string{
			"images/a.png": "", "labels/a.txt": "0 .5 .5 .5 .5",
			"data.yaml": fmt.Sprintf("names: [%q]", name),
		}),
		eval.LayoutCOCO: load(eval.LayoutCOCO, map[string]string{
			"images/a.png": "", "any.json": fmt.Sprintf(`{"images": [{"id": 1, "file_name": "a.png"}],
				"annotations": [{"id": 1, "image_id": 1, "category_id": 4, "bbox": [1, 2, 3, 4]}],
				"categories": [{"id": 4, "name": %q}]}`, name),
		}),
	}
}

func TestClassesAreTheBundlesHoweverTheirWordsAreParted(t *testing.T) {
	for name, c := range map[string]struct {
		bundle string
		same   bool
	}{
		"pin-hole":        {"pin-hole", true},
		"Pin Hole":        {"pin-hole", true},
		"PIN_HOLE":        {"pin-hole", true},
		"pinhole":         {"pin-hole", true},
		"mouse_bite":      {"mousebite", true},
		"Mouse-Bite":      {"mousebite", true},
		"spurious_copper": {"Spurious Copper", true},
		"pinholes":        {"pin-hole", false},
		"copper":          {"spurious copper", false},
	} {
		for layout, load := range named(t, name, eval.Source{Classes: []string{"other", c.bundle}}) {
			t.Run(layout+" "+name, func(t *testing.T) {
				set, err := load()
				if !c.same {
					require.ErrorIs(t, err, eval.ErrUnknownClass)
					return
				}
				require.NoError(t, err)
				require.Equal(t, 1, set.Samples[0].Labels[0].Class)
			})
		}
	}
}

func TestANameThatMayBeTwoOfTheBundlesClassesIsRefused(t *testing.T) {
	twins := eval.Source{Classes: []string{"pinhole", "pin-hole"}}
	for _, load := range named(t, "Pin Hole", twins) {
		_, err := load()
		require.ErrorIs(t, err, eval.ErrUnknownClass)
		require.ErrorContains(t, err, `"Pin Hole" may be "pinhole" or "pin-hole": write it as the bundle`)
	}
	for _, load := range named(t, "pin-hole", twins) {
		set, err := load()
		require.NoError(t, err, "this one is written as the bundle does")
		require.Equal(t, 1, set.Samples[0].Labels[0].Class)
	}
}

func TestWhereKindsAreNotToldApartAllLabelsAreOfOneClass(t *testing.T) {
	for _, load := range named(t, "open", eval.Source{OneClass: true}) {
		set, err := load()
		require.NoError(t, err)
		require.True(t, set.OneClass)
		require.Zero(t, set.Samples[0].Labels[0].Class)
	}
	numbers := deeppcb(flat(t, "1 2 3 4 1\n1 2 3 4 99999\n"))
	numbers.OneClass = true
	shares := yolo(folder(t, map[string]string{
		"images/a.png": "", "labels/a.txt": "0 .5 .5 .5 .5\n9999 .5 .5 .5 .5",
	}))
	shares.OneClass = true
	crowd := coco(pictures(t, "images", map[string]string{"any.json": annotated}))
	crowd.OneClass = true
	for _, source := range []eval.Source{numbers, shares, crowd} {
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.Len(t, set.Samples[0].Labels, 2)
		for _, label := range set.Samples[0].Labels {
			require.Zero(t, label.Class)
		}
	}
}

// What is no class of the data set is a fault of its labels, whatever is looked for.
func TestLabelsOfNoClassAreRefusedWhereKindsAreNotToldApart(t *testing.T) {
	for says, source := range map[string]eval.Source{
		"class 0, but classes count from 1": deeppcb(flat(t, "1 2 3 4 0\n")),
		"names classes 0 to 0": yolo(folder(t, map[string]string{
			"images/a.png": "", "labels/a.txt": "1 .5 .5 .5 .5", "data.yaml": "names: [open]",
		})),
	} {
		source.OneClass = true
		_, err := eval.Load(source)
		require.ErrorIs(t, err, eval.ErrLabels)
		require.ErrorContains(t, err, says)
	}
}
