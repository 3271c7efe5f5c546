// Package eval measures a bundle against labelled images: detection metrics and speed.
package eval

import (
	"cmp"
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
)

// Box is a labelled or detected defect. Corners are x1, y1, x2, y2 in pixels, exclusive at right and bottom.
// Score is 1 for labels.
type Box struct {
	Class   int
	Score   float32
	Corners [4]float32
}

// Image is one image's labels and what was detected.
type Image struct {
	Name     string
	Labels   []Box
	Detected []Box
}

// iou33 is the overlap that the data set's paper asks for (Tang et al. 2019).
const iou33 = 0.33

const (
	cocoSteps = 10    // IoU 0.50, 0.55 … 0.95
	tie       = 1e-10 // COCO takes an overlap equal to its bound as enough, the paper does not
)

// Metrics are the figures over a set of images, 0 to 1.
type Metrics struct {
	MAPIoU33 float64
	FIoU33   float64
	MAP50    float64
	MAP5095  float64
	PerClass []ClassMetrics
}

// ClassMetrics are the figures of one class. Precision, Recall and F are at the bundle's threshold and IoU
// 0.33.
type ClassMetrics struct {
	Class     int
	Labels    int
	APIoU33   float64
	AP50      float64
	AP5095    float64
	Precision float64
	Recall    float64
	F         float64
}

// Measure computes the metrics. thresholds holds, by class, the score from which a detection counts in the
// F-score. Classes without labels are left out of the means, as COCO does.
//
// map_iou33 is the paper's: the mean over classes of (sum of the precision at each true positive) / labels, a
// detection being true when its best free label overlaps by more than 0.33. map50 and map50_95 are COCO's,
// precision interpolated at 101 recalls.
func Measure(images []Image, thresholds []float64) Metrics {
	var m Metrics
	var truePositives, counted, labels, classes int
	for class, threshold := range thresholds {
		c := ClassMetrics{Class: class}
		matched := match(images, class, iou33)
		c.Labels = matched.labels
		if c.Labels == 0 && len(matched.detections) == 0 {
			continue
		}
		tp, n := matched.at(threshold)
		c.Precision, c.Recall, c.F = score(tp, n, c.Labels)
		truePositives, counted, labels = truePositives+tp, counted+n, labels+c.Labels
		if c.Labels > 0 {
			classes++
			c.APIoU33 = matched.averagePrecision()
			for step := range cocoSteps {
				ap := match(images, class, 0.5+0.05*float64(step)-tie).cocoPrecision()
				if step == 0 {
					c.AP50 = ap
				}
				c.AP5095 += ap / cocoSteps
			}
		}
		m.MAPIoU33 += c.APIoU33
		m.MAP50 += c.AP50
		m.MAP5095 += c.AP5095
		m.PerClass = append(m.PerClass, c)
	}
	if classes > 0 {
		m.MAPIoU33 /= float64(classes)
		m.MAP50 /= float64(classes)
		m.MAP5095 /= float64(classes)
	}
	_, _, m.FIoU33 = score(truePositives, counted, labels)
	return m
}

func score(truePositives, detections, labels int) (precision, recall, f float64) {
	if detections > 0 {
		precision = float64(truePositives) / float64(detections)
	}
	if labels > 0 {
		recall = float64(truePositives) / float64(labels)
	}
	if precision+recall > 0 {
		f = 2 * precision * recall / (precision + recall)
	}
	return precision, recall, f
}

type detection struct {
	score float32
	hit   bool
}

// matching is all detections of one class, by descending score, each true or false.
type matching struct {
	detections []detection
	labels     int
}

func match(images []Image, class int, overlap float64) matching {
	var m matching
	for i := range images {
		m.image(&images[i], class, overlap)
	}
	slices.SortStableFunc(m.detections, func(a, b detection) int { return cmp.Compare(b.score, a.score) })
	return m
}

// image matches greedily by descending score: each detection takes the free label that it overlaps most.
func (m *matching) image(im *Image, class int, overlap float64) {
	labels := ofClass(im.Labels, class)
	detected := ofClass(im.Detected, class)
	slices.SortStableFunc(detected, func(a, b Box) int { return cmp.Compare(b.Score, a.Score) })
	m.labels += len(labels)
	taken := make([]bool, len(labels))
	for _, d := range detected {
		best, at := overlap, -1
		for j := range labels {
			if o := event.Overlap(d.Corners, labels[j].Corners); !taken[j] && o > best {
				best, at = o, j
			}
		}
		if at >= 0 {
			taken[at] = true
		}
		m.detections = append(m.detections, detection{score: d.Score, hit: at >= 0})
	}
}

func ofClass(boxes []Box, class int) []Box {
	var some []Box
	for _, b := range boxes {
		if b.Class == class {
			some = append(some, b)
		}
	}
	return some
}

// at counts the true and all detections that reach the threshold.
func (m matching) at(threshold float64) (truePositives, detections int) {
	for _, d := range m.detections {
		if float64(d.score) < threshold {
			break
		}
		detections++
		if d.hit {
			truePositives++
		}
	}
	return truePositives, detections
}

func (m matching) averagePrecision() float64 {
	sum, hits := 0.0, 0
	for i, d := range m.detections {
		if d.hit {
			hits++
			sum += float64(hits) / float64(i+1)
		}
	}
	return sum / float64(m.labels)
}

// cocoPrecision is the mean of the best precision at or beyond each of the recalls 0, 0.01 … 1.
func (m matching) cocoPrecision() float64 {
	const recalls = 101
	precision := make([]float64, 0, len(m.detections))
	recall := make([]float64, 0, len(m.detections))
	hits := 0
	for i, d := range m.detections {
		if d.hit {
			hits++
		}
		precision = append(precision, float64(hits)/float64(i+1))
		recall = append(recall, float64(hits)/float64(m.labels))
	}
	for i := len(precision) - 2; i >= 0; i-- {
		precision[i] = max(precision[i], precision[i+1])
	}
	sum, i := 0.0, 0
	for r := range recalls {
		for i < len(recall) && recall[i] < float64(r)/(recalls-1) {
			i++
		}
		if i == len(recall) {
			break
		}
		sum += precision[i]
	}
	return sum / recalls
}
