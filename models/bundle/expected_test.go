package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const good = `{"class": "open", "score": 0.9, "box": [1, 2, 3, 4]}`

// expected reads a list beside a golden sample, of a bundle in which open counts from 0.5 up, short from 0.4.
func expected(tb testing.TB, list string) ([]bundle.Detection, error) {
	tb.Helper()
	b, err := bundle.Load(write(tb, folder(tb, manifest), map[string]string{"golden/a.json": list}))
	require.NoError(tb, err)
	return b.Expected(b.Manifest.Golden.Samples[0])
}

func TestExpectedDetectionsAreRead(t *testing.T) {
	for list, want := range map[string][]bundle.Detection{
		`[]`: {},
		`[{"class": "short", "score": 0.4, "box": [-1, 2.5, 3, 4]}]
		`: {{Class: "short", Score: 0.4, Box: [4]float32{-1, 2.5, 3, 4}}},
		`[{"box": [0, 0, 1, 1], "score": 1, "class": "open"},
		  {"class": "open", "score": 0.5, "box": [1, 2, 3, 4]}]`: {
			{Class: "open", Score: 1, Box: [4]float32{0, 0, 1, 1}},
			{Class: "open", Score: 0.5, Box: [4]float32{1, 2, 3, 4}},
		},
		`[{"class": "open", "score": 0.9, "box": [1, 2, 3, 4], "area": 3.5}]`: {
			{Class: "open", Score: 0.9, Box: [4]float32{1, 2, 3, 4}, Area: 3.5},
		},
	} {
		got, err := expected(t, list)
		require.NoError(t, err, list)
		require.Equal(t, want, got, list)
	}
}

// The worker would pass over what these ask for, and call the sample equal.
func TestExpectedDetectionsThatAskForNothingAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ list, says string }{
		"null":         {`null`, "null is no list: write [] where nothing is to be found"},
		"nothing":      {``, "no list of detections"},
		"one alone":    {good, "no list of detections"},
		"two lists":    {`[] []`, "something stands behind the list: leave it out"},
		"a torn end":   {`[]]`, "something stands behind the list"},
		"an empty one": {`[{}]`, "[0]: class, score or box is missing: write all three"},
		"a null":       {`[` + good + `, null]`, "[1]: class, score or box is missing"},
		"no class":     {`[{"score": 0.9, "box": [1, 2, 3, 4]}]`, "class, score or box is missing"},
		"no score":     {`[{"class": "open", "box": [1, 2, 3, 4]}]`, "class, score or box is missing"},
		"no box":       {`[{"class": "open", "score": 0.9}]`, "class, score or box is missing"},
		"unknown key":  {replaced(`"score"`, `"crop": 1, "score"`), `unknown field "crop"`},
		"unknown class": {replaced("open", "opne"), `[0]: class "opne" is not in the manifest: ` +
			"write one of open, short"},
		"no name": {replaced("open", ""), `class "" is not in the manifest`},
		"below threshold": {replaced("0.9", "0.49"), "open scores 0.49: list what reaches its " +
			"threshold, 0.5 to 1"},
		"over one":         {replaced("0.9", "1.1"), "open scores 1.1"},
		"a score too long": {replaced("0.9", "1e39"), "cannot unmarshal number 1e39"},
		"no width":         {replaced("3, 4", "1, 4"), "open has the box [1 2 1 4]: write x1, "},
		"no height":        {replaced("3, 4", "3, 2"), "open has the box [1 2 3 2]"},
		"corners swapped":  {replaced("1, 2, 3, 4", "3, 4, 1, 2"), "with x1 < x2 and y1 < y2"},
		"three numbers":    {replaced("1, 2, 3, 4", "-3, -2, -1"), "open has the box [-3 -2 -1]"},
		"no area":          {replaced(`"score"`, `"area": 0, "score"`), "open has the area 0: write"},
		"a negative area":  {replaced(`"score"`, `"area": -2, "score"`), "open has the area -2"},
		"five numbers":     {replaced("3, 4", "3, 4, 5"), "open has the box [1 2 3 4 5]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := expected(t, c.list)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "read expected detections golden/a.json: ")
		})
	}
}

// replaced is a list of a good detection in which a piece is another.
func replaced(old, piece string) string { return "[" + strings.Replace(good, old, piece, 1) + "]" }

// Whatever a list says, it holds what the bundle can find, or is refused.
func FuzzExpected(f *testing.F) {
	f.Add("[" + good + "]")
	f.Add(`[{}]`)
	f.Add(`[{"class": "short", "score": 0.39, "box": [3, 4, 1]}] null`)
	f.Fuzz(func(t *testing.T, list string) {
		detections, err := expected(t, list)
		if err != nil {
			return
		}
		require.NotNil(t, detections)
		for _, d := range detections {
			require.Contains(t, []string{"open", "short"}, d.Class)
			require.GreaterOrEqual(t, d.Score, float32(0.4))
			require.LessOrEqual(t, d.Score, float32(1))
			require.Less(t, d.Box[0], d.Box[2])
			require.Less(t, d.Box[1], d.Box[3])
		}
	})
}
