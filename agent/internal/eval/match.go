package eval

import (
	"cmp"
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
)

const (
	iou33   = 0.33 // the overlap that the paper of the data set asks for, and more
	covered = 0.5  // share of a detection within an ignored region from which it does not count
)

type detection struct {
	score float32
	hit   bool
}

// matching is all detections of one class that count, by descending score, each true or false.
type matching struct {
	detections []detection
	labels     int
}

// matchPaper matches as the evaluation script of the data set's authors does (DeepPCB, evaluation/script.py,
// made from that of ICDAR 2015), one class at a time: each label, in the order of its file, takes the free
// detection of the highest score that overlaps it by more than 0.33. A detection of which more than half lies
// in an ignored region is left out first.
//
// The script itself matches all classes at once, rounds corners to whole pixels and takes the inclusive ones
// of the labels as outlines; a class's average precision is asked of it by giving it that class alone.
func matchPaper(images []Image, class int) matching {
	var m matching
	for i := range images {
		labels := ofClass(images[i].Labels, class)
		detected := countable(byScore(ofClass(images[i].Detected, class)), labels)
		hit := make([]bool, len(detected))
		for j := range labels {
			if labels[j].Ignored {
				continue
			}
			m.labels++
			if at := firstOver(detected, hit, labels[j].Corners); at >= 0 {
				hit[at] = true
			}
		}
		for j, d := range detected {
			m.detections = append(m.detections, detection{score: d.Score, hit: hit[j]})
		}
	}
	m.sort()
	return m
}

func firstOver(detected []Box, hit []bool, corners [4]float32) int {
	for i := range detected {
		if !hit[i] && event.Overlap(detected[i].Corners, corners) > iou33 {
			return i
		}
	}
	return -1
}

// countable leaves out what is found within ignored regions.
func countable(detected, labels []Box) []Box {
	return slices.DeleteFunc(detected, func(d Box) bool {
		return slices.ContainsFunc(labels, func(l Box) bool {
			return l.Ignored && within(d.Corners, l.Corners) > covered
		})
	})
}

// within is the share of a that lies in b.
func within(a, b [4]float32) float64 {
	w := min(float64(a[2]), float64(b[2])) - max(float64(a[0]), float64(b[0]))
	h := min(float64(a[3]), float64(b[3])) - max(float64(a[1]), float64(b[1]))
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / ((float64(a[2]) - float64(a[0])) * (float64(a[3]) - float64(a[1])))
}

func ofClass(boxes []Box, class int) []Box {
	var some []Box
	for i := range boxes {
		if boxes[i].Class == class {
			some = append(some, boxes[i])
		}
	}
	return some
}

func byScore(detected []Box) []Box {
	slices.SortStableFunc(detected, func(a, b Box) int { return cmp.Compare(b.Score, a.Score) })
	return detected
}

func (m *matching) sort() {
	slices.SortStableFunc(m.detections, func(a, b detection) int { return cmp.Compare(b.score, a.score) })
}

// at counts the detections that reach the threshold. A label's match does not depend on those that do not.
func (m *matching) at(threshold float64) counts {
	c := counts{labels: m.labels}
	for _, d := range m.detections {
		if float64(d.score) < threshold {
			break
		}
		c.detections++
		if d.hit {
			c.truePositives++
		}
	}
	return c
}

func (m *matching) averagePrecision() float64 {
	sum, hits := 0.0, 0
	for i, d := range m.detections {
		if d.hit {
			hits++
			sum += float64(hits) / float64(i+1)
		}
	}
	return sum / float64(m.labels)
}
