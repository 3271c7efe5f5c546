package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const gauge = manifest + `then:
  model: kinds.onnx
  input: {width: 96, height: 64}
  decoder:
    family: measure
    measures:
      - {name: width, unit: mm, relative: width, scale: 0.02, min: 0.1, max: 0.3}
      - {name: angle}
      - {name: gap, min: 2}
`

func TestEachMeasureWithLimitsIsAClass(t *testing.T) {
	b, err := bundle.Load(pipelined(t, gauge))
	require.NoError(t, err)
	require.Equal(t, []string{"open", "short", "width", "gap"}, b.ClassNames())
	require.InDelta(t, 0.4, b.Manifest.Classes[3].Threshold, 0, "what the first model finds counts")
	require.Len(t, b.Manifest.First().Classes, 2)
	all := b.Manifest.Measures()
	require.Len(t, all, 3)
	require.InDelta(t, 1, all[1].Scale, 0)
	require.False(t, all[1].Limited())
	for value, within := range map[float32]bool{0.09: false, 0.1: true, 0.2: true, 0.3: true, 0.31: false} {
		require.Equal(t, within, all[0].Within(value), value)
	}
	require.True(t, all[1].Within(-1e9))
	require.True(t, all[2].Within(1e9))
	require.True(t, all[0].Agrees(0.209, 0.2))
	require.False(t, all[0].Agrees(0.211, 0.2))
	exact := bundle.Measure{Tolerance: new(0.5)}
	require.True(t, exact.Agrees(0.4, 0))
	require.False(t, exact.Agrees(-0.6, 0))

	alone, err := bundle.Load(folder(t, manifest))
	require.NoError(t, err)
	require.Empty(t, alone.Manifest.Measures())
}

func TestSamplesMayExpectMeasures(t *testing.T) {
	expect := func(measures string) error {
		b, err := bundle.Load(write(t, pipelined(t, gauge), map[string]string{
			"golden/a.json": `[{"class":"gap","score":0.9,"box":[1,2,3,4],"measures":` + measures + `}]`,
		}))
		require.NoError(t, err)
		_, err = b.Expected(b.Manifest.Golden.Samples[0])
		return err
	}
	require.NoError(t, expect("[0.2, 90, 1.5]"))
	require.NoError(t, expect("null"))
	require.ErrorContains(t, expect("[0.2]"), "gap has 1 measures: write all 3 that the manifest names")
	require.ErrorContains(t, expect("[]"), "gap has 0 measures")
}

func TestWhatIsWrongWithAMeasureIsExplained(t *testing.T) {
	const first = "{name: width, unit: mm, relative: width, scale: 0.02, min: 0.1, max: 0.3}"
	for name, c := range map[string]struct{ from, to, says string }{
		"classes": {
			"then:\n", "then:\n  classes: [{name: wide, threshold: 0.5}]\n",
			"line 12: then.classes: a measurement has a class for each measure with limits (leave it out)",
		},
		"of a frame": {
			"{family: yolov8}", "{family: measure}", `line 5: decoder.family: "measure" is not known`,
		},
		"of boxes": {
			"{family: yolov8}", "{family: yolov8, measures: []}",
			"line 5: decoder.measures: family yolov8 has no use for it",
		},
		"an activation": {
			"family: measure", "family: measure\n    activation: sigmoid",
			"line 16: then.decoder.activation: family measure has no use for it",
		},
		"no name": {"name: angle", "unit: mm", `line 18: then.decoder.measures[1].name: "" is not a name`},
		"a name that is there": {
			"name: angle", "name: width", "line 18: then.decoder.measures[1].name: width is there twice",
		},
		"a name of the first model's": {
			"name: angle", "name: short",
			"line 18: then.decoder.measures[1].name: short is a class of the first model, too",
		},
		"a long unit": {
			"name: angle", "name: angle, unit: thousandths of an inch", "then.decoder.measures[1].unit: ",
		},
		"a part of nothing": {
			"name: angle", "name: angle, relative: area",
			`then.decoder.measures[1].relative: "area" is not known (one of width, height)`,
		},
		"no scale":  {"scale: 0.02", "scale: 0.0000001", "then.decoder.measures[0].scale: 1e-07 is out of"},
		"no limits": {"max: 0.3", "max: .inf", "then.decoder.measures[0].max: +Inf is out of range"},
		"turned around": {
			"max: 0.3", "max: 0.05", "line 17: then.decoder.measures[0].max: 0.05 is below min, 0.1: every",
		},
		"a tolerance below zero": {
			"name: angle", "name: angle, tolerance: -1", "then.decoder.measures[1].tolerance: -1 is out of",
		},
		"a limit that is a text": {"max: 0.3", "max: wide", "line 17: then.decoder.measures[0].max: "},
		"none": {
			"measures:\n      - " + first + "\n      - {name: angle}\n      - {name: gap, min: 2}",
			"measures: []",
			"line 16: then.decoder.measures: 0 measures (1 to 16: one for each number that the model gives",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, gauge, c.from)
			_, err := bundle.Load(pipelined(t, strings.Replace(gauge, c.from, c.to, 1)))
			require.ErrorContains(t, err, c.says)
		})
	}
}
