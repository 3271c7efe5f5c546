// Package eval measures a bundle against labelled images: detection metrics and speed.
package eval

// Box is a labelled or detected defect. Corners are x1, y1, x2, y2 in pixels, exclusive at right and bottom.
// Score is 1 for labels.
type Box struct {
	Class   int
	Score   float32
	Corners [4]float32

	// Ignored marks a labelled region of which nobody says what is in it, such as COCO's iscrowd: it need
	// not be found, and what is found in it counts neither as true nor as false.
	Ignored bool

	shape *shape // nil: none is known
}

// Image is one image's labels and what was detected.
type Image struct {
	Name     string
	Labels   []Box
	Detected []Box

	width, height int // pixels; 0: it was not inspected
}

// Metrics are the figures over a set of images, 0 to 1. Precision, Recall and FIoU33 are at the bundle's
// thresholds over all classes together.
type Metrics struct {
	MAPIoU33  float64
	Precision float64
	Recall    float64
	FIoU33    float64
	MAP50     float64
	MAP5095   float64
	PerClass  []ClassMetrics
}

// ClassMetrics are the figures of one class. Precision, Recall and F are at the bundle's threshold and IoU
// 0.33. Labels leaves out ignored regions.
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
// F-score. Classes without labels are left out of the means, as COCO does. Detections of the same score are
// taken in the order of the images, and within an image in the order given.
//
// map_iou33 is the paper's (Tang et al. 2019): the mean over classes of (sum of the precision at each true
// positive) / labels, nothing interpolated. map50 and map50_95 are COCO's: precision interpolated at 101
// recalls, at most 100 detections of a class in an image.
func Measure(images []Image, thresholds []float64) Metrics {
	var m Metrics
	var total counts
	classes := 0
	for class, threshold := range thresholds {
		paper := matchPaper(images, class)
		if paper.labels == 0 && len(paper.detections) == 0 {
			continue
		}
		at := paper.at(threshold)
		total.add(at)
		c := ClassMetrics{Class: class, Labels: paper.labels}
		c.Precision, c.Recall, c.F = at.scores()
		if c.Labels > 0 {
			classes++
			c.APIoU33 = paper.averagePrecision()
			c.AP50, c.AP5095 = cocoPrecision(images, class)
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
	m.Precision, m.Recall, m.FIoU33 = total.scores()
	return m
}

// counts are of one class, or of all together.
type counts struct{ truePositives, detections, labels int }

func (c *counts) add(more counts) {
	c.truePositives += more.truePositives
	c.detections += more.detections
	c.labels += more.labels
}

func (c *counts) scores() (precision, recall, f float64) {
	if c.detections > 0 {
		precision = float64(c.truePositives) / float64(c.detections)
	}
	if c.labels > 0 {
		recall = float64(c.truePositives) / float64(c.labels)
	}
	if precision+recall > 0 {
		f = 2 * precision * recall / (precision + recall)
	}
	return precision, recall, f
}
