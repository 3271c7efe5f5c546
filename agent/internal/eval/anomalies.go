package eval

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Anomalies are the figures of a map of anomalies and of the image's score, both as the manifest makes scores
// of the model's numbers, but not cut off at 0 and 1. Those of pixels are there where defective images have
// masks. Images that could not be inspected are left out.
type Anomalies struct {
	ImageAUROC    *float64 `json:"image_auroc,omitempty"` // missing without images of both kinds
	ImageF        float64  `json:"image_f"`               // of defective images, at the threshold
	ImageFBest    float64  `json:"image_f_best"`          // at the threshold that is best for it
	Threshold     float64  `json:"threshold"`             // the bundle's
	ThresholdBest float64  `json:"threshold_best"`
	PixelAUROC    *float64 `json:"pixel_auroc,omitempty"`
	AUPRO         *float64 `json:"aupro,omitempty"`   // up to a false positive rate of 0.3
	PixelF        *float64 `json:"pixel_f,omitempty"` // at the map's threshold
	// PixelFBest is at the threshold that is best for it, PixelThresholdBest, a score of the map.
	PixelFBest         *float64 `json:"pixel_f_best,omitempty"`
	PixelThresholdBest *float64 `json:"pixel_threshold_best,omitempty"`

	Masks   int    `json:"masks"`
	Regions int    `json:"regions"` // that hang together in masks
	Kinds   []Kind `json:"kinds"`
}

// Kind is a folder of images.
type Kind struct {
	Kind     string   `json:"kind"`
	Images   int      `json:"images"`
	Rejected int      `json:"rejected"`        // whose verdict is not PASS
	AUROC    *float64 `json:"auroc,omitempty"` // of this kind of defect against the good images
}

// anomalies measures scores of images against what these show.
type anomalies struct {
	judge

	threshold float64
	order     []string
	kinds     map[string]*Kind
	scores    map[string][]scored // by kind
	masks     int
	pixels    pixels
}

func newAnomalies(m *bundle.Manifest) (*anomalies, error) {
	j, err := newJudge(m)
	return &anomalies{
		judge: j, threshold: m.Classes[0].Threshold, kinds: map[string]*Kind{},
		scores: map[string][]scored{}, pixels: newPixels(),
	}, err
}

func (a *anomalies) add(sample *Sample, answer *wire.Inspected, failed bool) error {
	if failed {
		return nil
	}
	heat := answer.GetHeat()
	if err := checkHeat(heat); err != nil {
		return fmt.Errorf("%s: %w", sample.Name, err)
	}
	good := sample.good()
	kind := a.kinds[sample.Kind]
	if kind == nil {
		kind = &Kind{Kind: sample.Kind}
		a.kinds[sample.Kind], a.order = kind, append(a.order, sample.Kind)
	}
	kind.Images++
	if !a.accepts(answer, good) {
		kind.Rejected++
	}
	a.scores[sample.Kind] = append(a.scores[sample.Kind], scored{float64(heat.GetScore()), !good})
	return a.compare(sample, answer)
}

// compare takes the map beside the mask. A good image has none, and nothing of it is unusual.
func (a *anomalies) compare(sample *Sample, answer *wire.Inspected) error {
	width, height := int(answer.GetWidth()), int(answer.GetHeight())
	if sample.good() {
		return a.pixels.add(answer.GetHeat(), nil, width, height)
	}
	if sample.Mask == "" {
		return nil
	}
	m, err := readMask(sample.Mask)
	if err != nil {
		return err
	}
	if m.width != width || m.height != height {
		return fmt.Errorf("%w: the mask %s is of %d×%d pixels, its image %s of %d×%d: make it as large",
			ErrLabels, sample.Mask, m.width, m.height, sample.Name, width, height)
	}
	a.masks++
	return a.pixels.add(answer.GetHeat(), m, width, height)
}

func (a *anomalies) report(r *Report) error {
	p := &Anomalies{Threshold: a.threshold, Masks: a.masks, Kinds: []Kind{}}
	r.Judgement, r.Anomalies = &a.figures, p
	var all []scored
	for _, name := range a.order {
		kind := a.kinds[name]
		if name != goodFolder {
			kind.AUROC = auroc(append(append([]scored{}, a.scores[name]...), a.scores[goodFolder]...))
		}
		p.Kinds = append(p.Kinds, *kind)
		all = append(all, a.scores[name]...)
	}
	p.ImageAUROC, p.ImageF = auroc(all), a.figures.f()
	p.ImageFBest, p.ThresholdBest = bestF(all)
	if a.masks > 0 {
		p.PixelAUROC, p.AUPRO, p.PixelF = a.pixels.auroc(), a.pixels.aupro(), a.pixels.f()
		best, level := a.pixels.bestF()
		threshold := wire.HeatScore(level)
		p.PixelFBest, p.PixelThresholdBest = &best, &threshold
		p.Regions = a.pixels.regions
	}
	return nil
}
