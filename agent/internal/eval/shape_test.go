package eval

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maskCases are those of testdata/masks.json, which models/vectors/evaluation_masks.py writes.
type maskCase struct {
	Classes int
	Images  []struct {
		Size   [2]int
		Labels []struct {
			Class, Crowd int
			Shape        json.RawMessage
			Area         uint64
		}
		Detected []struct {
			Class   int
			Score   float32
			Outline []float32
			Area    uint64
		}
	}
	Want struct {
		AP50   []*float64 `json:"ap50"`
		AP5095 []*float64 `json:"ap50_95"`
	}
}

func TestMasksAgreeWithPycocotools(t *testing.T) {
	raw, err := os.ReadFile("testdata/masks.json")
	require.NoError(t, err)
	var cases []maskCase
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		images := c.images(t)
		for class := range c.Classes {
			if c.Want.AP50[class] == nil {
				continue
			}
			ap50, ap5095, err := maskPrecision(images, class)
			require.NoError(t, err)
			require.InDelta(t, *c.Want.AP50[class], ap50, near)
			require.InDelta(t, *c.Want.AP5095[class], ap5095, near)
		}
	}
}

// images checks the pixels of each outline, too.
func (c *maskCase) images(t *testing.T) []Image {
	t.Helper()
	images := make([]Image, 0, len(c.Images))
	for _, im := range c.Images {
		one := Image{width: im.Size[0], height: im.Size[1]}
		add := func(to *[]Box, b Box, area uint64) {
			drawn, err := b.shape.draw(one.width, one.height)
			require.NoError(t, err)
			require.Equal(t, area, drawn.area())
			*to = append(*to, b)
		}
		for _, l := range im.Labels {
			s, numbers, err := cocoShape(l.Shape)
			require.NoError(t, err)
			require.Positive(t, numbers)
			add(&one.Labels, Box{Class: l.Class, Score: 1, Ignored: l.Crowd == 1, shape: s}, l.Area)
		}
		for _, d := range im.Detected {
			shape := outlined(d.Outline, [4]float32{})
			add(&one.Detected, Box{Class: d.Class, Score: d.Score, shape: shape}, d.Area)
		}
		images = append(images, one)
	}
	return images
}

func TestBrokenSegmentationsAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		`[[1, 2, 3, 4]]`:                                   "a polygon of 4 numbers",
		`[[1, 2, 3, 4, 5, 6, 7]]`:                          "a polygon of 7 numbers",
		`[[1, 2, 3, 4, 5, 1e9]]`:                           "1e+09, which is over",
		`[["1"]]`:                                          "cannot unmarshal",
		`{"size": [2], "counts": [4]}`:                     "has the size [2]",
		`{"size": [100000, 100000], "counts": []}`:         "has the size [100000 100000]",
		`{"size": [-1, 3], "counts": []}`:                  "has the size [-1 3]",
		`{"size": [2, 2], "counts": [1, 2]}`:               "runs of 3 pixels in all, its size is 2×2",
		`{"size": [2, 2], "counts": [-1, 5]}`:              "cannot unmarshal",
		`{"size": [2, 2], "counts": "4é"}`:                 "no text of COCO's runs",
		`{"size": [2, 2], "counts": "PPPPPPPPPPPPPPPPPP"}`: "no text of COCO's runs",
		`{"size": [2, 2], "counts": "P"}`:                  "no text of COCO's runs",
		`{"size": [2, 2]}`:                                 "unexpected end",
	} {
		_, _, err := cocoShape(json.RawMessage(in))
		require.ErrorContains(t, err, want, in)
	}
	for _, none := range []string{"", "null", "[]", " [ ] "} {
		s, numbers, err := cocoShape(json.RawMessage(none))
		require.NoError(t, err)
		require.Nil(t, s)
		require.Zero(t, numbers)
	}
	s, _, err := cocoShape(json.RawMessage(`{"size": [4, 3], "counts": [2, 3, 7]}`))
	require.NoError(t, err)
	_, err = s.draw(4, 3)
	require.ErrorContains(t, err, "of 3×4 pixels, its image of 4×3")
	drawn, err := s.draw(3, 4)
	require.NoError(t, err)
	require.Equal(t, raster{2, 5}, drawn)
}

func TestAFindingWithoutAnOutlineIsItsBox(t *testing.T) {
	drawn, err := outlined(nil, [4]float32{1, 2, 4, 7}).draw(10, 10)
	require.NoError(t, err)
	require.EqualValues(t, 3*5, drawn.area())
	none, err := outlined([]float32{1, 1, 1, 1, 1, 1}, [4]float32{}).draw(10, 10)
	require.NoError(t, err)
	require.Zero(t, none.area())
}

func TestOutlinesAreReadOnlyWhereTheyAreWanted(t *testing.T) {
	text := `{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "x"}],
		"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1],
			"segmentation": [[0, 0, 1, 1, 2]]}]}`
	_, _, err := decodeCOCO(strings.NewReader(text), false)
	require.NoError(t, err)
	_, _, err = decodeCOCO(strings.NewReader(text), true)
	require.ErrorContains(t, err, "a polygon of 5 numbers")
}

func BenchmarkOutline(b *testing.B) {
	s := outlined([]float32{100, 100, 900, 130, 1000, 800, 150, 900}, [4]float32{})
	for b.Loop() {
		drawn, err := s.draw(1920, 1080)
		if err != nil || drawn.area() < 100_000 {
			b.Fatal(err)
		}
	}
}
