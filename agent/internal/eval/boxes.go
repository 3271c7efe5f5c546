package eval

import (
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Boxes are the figures of defects that lie somewhere: of detections, turned boxes and masks. The first four
// keys are stable. precision and recall are what f_iou33 is made of. An image is clean when nothing at all is
// labelled on it, not even a region in which nothing counts, and it was inspected.
type Boxes struct {
	MAPIoU33     float64 `json:"map_iou33"`
	FIoU33       float64 `json:"f_iou33"`
	MAP50        float64 `json:"map50"`
	MAP5095      float64 `json:"map50_95"`
	Precision    float64 `json:"precision"`
	Recall       float64 `json:"recall"`
	Labels       int     `json:"labels"`     // to be found
	Ignored      int     `json:"ignored"`    // regions in which nothing counts
	Unlabelled   int     `json:"unlabelled"` // images without a file of labels
	Clean        int     `json:"clean"`
	CleanAlarmed int     `json:"clean_alarmed"` // of these, with a detection at the thresholds

	// As map50 and map50_95, of masks instead of boxes; missing where labels have no outlines.
	MaskMAP50   *float64 `json:"mask_map50,omitempty"`
	MaskMAP5095 *float64 `json:"mask_map50_95,omitempty"`

	ClassesBy string `json:"classes_by"` // name, number or none
}

// Ranking is how well the scores of one class rank true boxes before false ones.
type Ranking struct {
	APIoU33 float64 `json:"ap_iou33"`
	AP50    float64 `json:"ap50"`
	AP5095  float64 `json:"ap50_95"`

	MaskAP50   *float64 `json:"mask_ap50,omitempty"`
	MaskAP5095 *float64 `json:"mask_ap50_95,omitempty"`
}

// boxes measures what was found against boxes that are labelled. An image that failed counts as one on which
// nothing was found.
type boxes struct {
	manifest *bundle.Manifest
	data     *Dataset
	images   []Image
	figures  Boxes
}

func newBoxes(m *bundle.Manifest, data *Dataset) *boxes { return &boxes{manifest: m, data: data} }

func (b *boxes) add(sample *Sample, answer *wire.Inspected, failed bool) error {
	image := Image{
		Name: sample.Name, Labels: sample.Labels,
		width: int(answer.GetWidth()), height: int(answer.GetHeight()),
	}
	if b.data.Shares && !failed {
		if answer.GetWidth() < 1 || answer.GetHeight() < 1 {
			return fmt.Errorf("the worker does not say how large %s is: its labels need it", sample.Name)
		}
		image.Labels = inPixels(sample.Labels, answer.GetWidth(), answer.GetHeight())
	}
	for _, d := range answer.GetDetections() {
		if b.manifest.Dismisses(int(d.GetClass())) {
			continue
		}
		one := Box{
			Class: int(d.GetClass()), Score: d.GetScore(),
			Corners: [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()},
		}
		if b.data.Outlines {
			one.shape = outlined(d.GetOutline(), one.Corners)
		}
		image.Detected = append(image.Detected, one)
	}
	b.images = append(b.images, image)
	if !failed && len(sample.Labels) == 0 {
		b.figures.Clean++
		if b.alarmed(image.Detected) {
			b.figures.CleanAlarmed++
		}
	}
	return nil
}

// alarmed says whether a detection reaches the threshold of its class, which is not a good one.
func (b *boxes) alarmed(detected []Box) bool {
	classes := b.manifest.Classes
	return slices.ContainsFunc(detected, func(d Box) bool {
		return d.Class >= 0 && d.Class < len(classes) && !classes[d.Class].Good &&
			float64(d.Score) >= classes[d.Class].Threshold
	})
}

// inPixels takes corners that are shares of an image of this size.
func inPixels(labels []Box, width, height int32) []Box {
	w, h := float32(width), float32(height)
	boxes := slices.Clone(labels)
	for i := range boxes {
		c := &boxes[i].Corners
		*c = [4]float32{c[0] * w, c[1] * h, c[2] * w, c[3] * h}
	}
	return boxes
}

func (b *boxes) report(r *Report) error {
	classes := b.manifest.Classes
	thresholds := make([]float64, len(classes))
	for i, c := range classes {
		thresholds[i] = c.Threshold
	}
	m, p := Measure(b.images, thresholds), &b.figures
	r.Boxes = p
	p.MAPIoU33, p.FIoU33, p.MAP50, p.MAP5095 = m.MAPIoU33, m.FIoU33, m.MAP50, m.MAP5095
	p.Precision, p.Recall = m.Precision, m.Recall
	p.Unlabelled, p.ClassesBy = b.data.Unlabelled, b.data.classesBy()
	for _, s := range b.data.Samples {
		for i := range s.Labels {
			p.Ignored += last(s.Labels[i])
			p.Labels += 1 - last(s.Labels[i])
		}
	}
	for _, c := range m.PerClass {
		r.Classes = append(r.Classes, ClassReport{
			Class: classes[c.Class].Name, Labels: c.Labels,
			Ranking:   &Ranking{APIoU33: c.APIoU33, AP50: c.AP50, AP5095: c.AP5095},
			Precision: c.Precision, Recall: c.Recall, F: c.F, Threshold: thresholds[c.Class],
		})
	}
	if b.data.Outlines {
		return b.masks(r, m.PerClass)
	}
	return nil
}

// masks adds the figures of masks to those of boxes.
func (b *boxes) masks(r *Report, classes []ClassMetrics) error {
	labelled, fifty, every := 0, 0.0, 0.0
	for i, c := range classes {
		if c.Labels == 0 {
			continue
		}
		ap50, ap5095, err := maskPrecision(b.images, c.Class)
		if err != nil {
			return err
		}
		r.Classes[i].MaskAP50, r.Classes[i].MaskAP5095 = &ap50, &ap5095
		labelled, fifty, every = labelled+1, fifty+ap50, every+ap5095
	}
	if labelled > 0 {
		fifty, every = fifty/float64(labelled), every/float64(labelled)
	}
	r.MaskMAP50, r.MaskMAP5095 = &fifty, &every
	return nil
}
