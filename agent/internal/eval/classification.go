package eval

import (
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Classification are the figures of what whole images show: the class that scores highest, whatever its
// threshold. Images that could not be inspected are left out.
type Classification struct {
	Accuracy float64 `json:"accuracy"` // share of the images whose class is right
	MacroF   float64 `json:"f_macro"`  // mean over the classes that an image shows or was taken for
	// Confusion has a row for each of Names, the bundle's classes in its order: how many images that show it
	// were taken for each of them, and last for none, since no score reached the decoder's floor.
	Names     []string `json:"names"`
	Confusion [][]int  `json:"confusion"`
}

// classification measures the classes of images.
type classification struct {
	judge

	classes   []bundle.Class
	confusion [][]int
}

func newClassification(m *bundle.Manifest) (*classification, error) {
	j, err := newJudge(m)
	c := &classification{judge: j, classes: m.Classes, confusion: make([][]int, len(m.Classes))}
	for i := range c.confusion {
		c.confusion[i] = make([]int, len(m.Classes)+1)
	}
	return c, err
}

func (c *classification) add(sample *Sample, answer *wire.Inspected, failed bool) error {
	if failed {
		return nil
	}
	taken := len(c.classes)
	if found := answer.GetDetections(); len(found) > 0 {
		if first := int(found[0].GetClass()); first >= 0 && first < len(c.classes) {
			taken = first
		}
	}
	c.confusion[sample.Class][taken]++
	c.accepts(answer, c.classes[sample.Class].Good)
	return nil
}

func (c *classification) report(r *Report) error {
	p := &Classification{Confusion: c.confusion}
	r.Judgement, r.Classification = &c.figures, p
	images, right, sum, met := 0, 0, 0.0, 0
	for i, class := range c.classes {
		p.Names = append(p.Names, class.Name)
		one := counts{truePositives: c.confusion[i][i]}
		for k := range c.confusion {
			one.detections += c.confusion[k][i]
		}
		for _, n := range c.confusion[i] {
			one.labels += n
		}
		images, right = images+one.labels, right+one.truePositives
		if one.labels+one.detections == 0 {
			continue
		}
		k := ClassReport{Class: class.Name, Labels: one.labels, Threshold: class.Threshold}
		k.Precision, k.Recall, k.F = one.scores()
		sum, met = sum+k.F, met+1
		r.Classes = append(r.Classes, k)
	}
	if images > 0 {
		p.Accuracy, p.MacroF = float64(right)/float64(images), sum/float64(met)
	}
	return nil
}
