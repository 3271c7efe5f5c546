package eval

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// wholeCases are those of testdata/whole.json, which models/vectors/evaluation.py writes.
type wholeCases struct {
	Images []struct {
		Scores    []float64
		Defective []bool
		Want      struct {
			AUROC     *float64
			BestF     float64 `json:"best_f"`
			Threshold float64
		}
	}
	Classes []struct {
		Classes      int
		Truth, Taken []int
		Want         struct {
			Accuracy             float64
			MacroF               float64 `json:"f_macro"`
			Confusion            [][]int
			Met                  []int
			Precision, Recall, F []float64
			Support              []int
		}
	}
	Pixels []struct {
		Images []struct {
			Frame, Map   [2]int
			Box          [4]float32
			Levels, Mask []byte
		}
		Want struct {
			AUROC, AUPRO, F float64
			BestF           float64 `json:"best_f"`
			BestLevel       int     `json:"best_level"`
			Regions         int
		}
	}
}

// near is what sums in another order may differ by.
const near = 1e-9

func references(t *testing.T) wholeCases {
	t.Helper()
	raw, err := os.ReadFile("testdata/whole.json")
	require.NoError(t, err)
	var cases wholeCases
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.NotEmpty(t, cases.Images)
	require.NotEmpty(t, cases.Classes)
	require.NotEmpty(t, cases.Pixels)
	return cases
}

func TestScoresOfImagesAreRankedAsScikitLearnDoes(t *testing.T) {
	for _, c := range references(t).Images {
		var all []scored
		for i, score := range c.Scores {
			all = append(all, scored{score, c.Defective[i]})
		}
		require.InDelta(t, *c.Want.AUROC, *auroc(all), near)
		best, threshold := bestF(all)
		require.InDelta(t, c.Want.BestF, best, near)
		require.InDelta(t, c.Want.Threshold, threshold, near)
	}
}

func TestARankOfOneKindIsNone(t *testing.T) {
	require.Nil(t, auroc(nil))
	require.Nil(t, auroc([]scored{{0.3, true}, {0.4, true}}))
	require.Nil(t, auroc([]scored{{0.3, false}}))
	best, threshold := bestF([]scored{{0.3, false}})
	require.Zero(t, best)
	require.Zero(t, threshold)
}

func TestClassesOfImagesAreCountedAsScikitLearnDoes(t *testing.T) {
	for _, c := range references(t).Classes {
		m := &bundle.Manifest{Task: bundle.TaskClassification}
		for i := range c.Classes {
			m.Classes = append(m.Classes, bundle.Class{Name: string(rune('a' + i)), Threshold: 0.5})
		}
		measured, err := newClassification(m)
		require.NoError(t, err)
		for i, class := range c.Truth {
			answer := &wire.Inspected{}
			if taken := c.Taken[i]; taken >= 0 {
				answer.Detections = []*wire.Detection{
					{Class: int32(taken), Score: 0.7}, {Class: int32((taken + 1) % c.Classes), Score: 0.6},
				}
			}
			require.NoError(t, measured.add(&Sample{Class: class}, answer, false))
			require.NoError(t, measured.add(&Sample{Class: class}, answer, true), "it counts for nothing")
		}
		var r Report
		require.NoError(t, measured.report(&r))
		require.InDelta(t, c.Want.Accuracy, r.Accuracy, near)
		require.InDelta(t, c.Want.MacroF, r.MacroF, near)
		require.Equal(t, c.Want.Confusion, r.Confusion)
		require.Len(t, r.Classes, len(c.Want.Met))
		for i, class := range c.Want.Met {
			k := r.Classes[i]
			require.Equal(t, m.Classes[class].Name, k.Class)
			require.Equal(t, c.Want.Support[class], k.Labels)
			require.InDelta(t, c.Want.Precision[class], k.Precision, near)
			require.InDelta(t, c.Want.Recall[class], k.Recall, near)
			require.InDelta(t, c.Want.F[class], k.F, near)
			require.Nil(t, k.Ranking)
		}
	}
}

func TestPixelsAreRankedAsScikitLearnDoesAndRegionsByTheirDefinition(t *testing.T) {
	for _, c := range references(t).Pixels {
		p := newPixels()
		for _, im := range c.Images {
			heat := &wire.Heat{
				Width: int32(im.Map[0]), Height: int32(im.Map[1]), Levels: im.Levels,
				X1: im.Box[0], Y1: im.Box[1], X2: im.Box[2], Y2: im.Box[3],
			}
			require.NoError(t, checkHeat(heat))
			require.NoError(t, p.add(heat, unpacked(im.Mask, im.Frame), im.Frame[0], im.Frame[1]))
		}
		require.InDelta(t, c.Want.AUROC, *p.auroc(), near)
		require.InDelta(t, c.Want.AUPRO, *p.aupro(), near)
		require.InDelta(t, c.Want.F, *p.f(), near)
		best, level := p.bestF()
		require.InDelta(t, c.Want.BestF, best, near)
		require.Equal(t, c.Want.BestLevel, level)
		require.Equal(t, c.Want.Regions, p.regions)
	}
}

// unpacked is a mask of bits, the first the highest of its byte; nil for none.
func unpacked(bits []byte, size [2]int) *mask {
	if len(bits) == 0 {
		return nil
	}
	m := &mask{width: size[0], height: size[1], inside: make([]bool, size[0]*size[1])}
	for i := range m.inside {
		m.inside[i] = bits[i/8]>>(7-i%8)&1 == 1
	}
	return m
}

func TestPixelsOfOneKindHaveNoRank(t *testing.T) {
	p := newPixels()
	require.Nil(t, p.auroc())
	require.Nil(t, p.aupro())
	heat := &wire.Heat{Width: 1, Height: 1, X2: 1, Y2: 1, Levels: []byte{0, 0x80}}
	require.NoError(t, p.add(heat, nil, 3, 2))
	require.Nil(t, p.auroc())
	require.Zero(t, *p.f())
	require.Error(t, p.add(heat, nil, 0, 2))
	require.Error(t, p.add(heat, nil, maxMaskPixels, 2))
}

func TestAnAnswerWithoutAMapIsRefused(t *testing.T) {
	good := wire.Heat{Width: 1, Height: 1, X2: 1, Y2: 1, Levels: []byte{0, 0}}
	require.NoError(t, checkHeat(&good))
	for _, bad := range []*wire.Heat{
		nil,
		{},
		{Width: 2, Height: 1, X2: 1, Y2: 1, Levels: []byte{0, 0}},
		{Width: 1, Height: 1, Y2: 1, Levels: []byte{0, 0}},
		{Width: -1, Height: -1, X2: 1, Y2: 1, Levels: []byte{0, 0}},
		{Width: 1 << 30, Height: 1 << 30, X2: 1, Y2: 1},
	} {
		require.ErrorIs(t, checkHeat(bad), errHeat)
	}
}

func TestMasksAreWhateverIsNotBlack(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 3, 2))
	gray.Pix[1], gray.Pix[3] = 1, 255
	wide := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range gray.Pix {
		c := color.RGBA{A: 255}
		if gray.Pix[i] != 0 {
			c.B = 200
		}
		wide.Set(i%3, i/3, c)
	}
	for name, picture := range map[string]image.Image{"gray": gray, "colour": wide} {
		path := filepath.Join(t.TempDir(), name+".png")
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, picture))
		require.NoError(t, f.Close())
		m, err := readMask(path)
		require.NoError(t, err)
		require.Equal(t, []bool{false, true, false, true, false, false}, m.inside)
		spans, areas := m.regions()
		require.Equal(t, []span{{0, 1, 2, 0}, {1, 0, 1, 0}}, spans, "they touch at a corner")
		require.Equal(t, []int{2, 0}, areas)
	}
	_, err := readMask(filepath.Join(t.TempDir(), "none.png"))
	require.ErrorIs(t, err, ErrLabels)
	path := filepath.Join(t.TempDir(), "text.png")
	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	_, err = readMask(path)
	require.ErrorContains(t, err, "text.png is no PNG")
}
