package eval

import (
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
)

const (
	cocoSteps   = 10 // IoU 0.50, 0.55 … 0.95
	cocoRecalls = 101
	cocoMost    = 100 // detections of a class in an image
)

// cocoPrecision is COCO's average precision of a class at IoU 0.5, and the mean of that at 0.50, 0.55 … 0.95.
// It agrees with pycocotools to the last places, ties of score and of overlap included.
func cocoPrecision(images []Image, class int) (ap50, ap5095 float64) {
	pairs := make([]pairing, 0, len(images))
	for i := range images {
		p := pair(&images[i], class)
		p.byBoxes()
		pairs = append(pairs, p)
	}
	return precisionOf(pairs)
}

// maskPrecision is the same of outlines instead of boxes.
func maskPrecision(images []Image, class int) (ap50, ap5095 float64, err error) {
	pairs := make([]pairing, 0, len(images))
	for i := range images {
		p := pair(&images[i], class)
		if err := p.byMasks(&images[i]); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", images[i].Name, err)
		}
		pairs = append(pairs, p)
	}
	ap50, ap5095 = precisionOf(pairs)
	return ap50, ap5095, nil
}

func precisionOf(pairs []pairing) (ap50, ap5095 float64) {
	for step := range cocoSteps {
		var m matching
		for i := range pairs {
			pairs[i].match(cocoBound(step), &m)
		}
		m.sort()
		ap := m.interpolated()
		if step == 0 {
			ap50 = ap
		}
		ap5095 += ap / cocoSteps
	}
	return ap50, ap5095
}

// cocoBound is the overlap that is enough at a step. An overlap may equal it exactly, so it is computed the
// way pycocotools does: start plus a whole number of rounded steps.
func cocoBound(step int) float64 {
	first, last := 0.5, 0.95
	if step == cocoSteps-1 {
		return last
	}
	width := (last - first) / (cocoSteps - 1)
	return first + float64(float64(step)*width) // the conversion keeps it from being fused, on any processor
}

// pairing is a class in an image: labels, ignored ones last, and detections by descending score.
type pairing struct {
	labels   []Box
	detected []Box
	overlaps [][]float64 // by detection and label
}

func pair(im *Image, class int) pairing {
	p := pairing{labels: ofClass(im.Labels, class), detected: byScore(ofClass(im.Detected, class))}
	slices.SortStableFunc(p.labels, func(a, b Box) int { return last(a) - last(b) })
	p.detected = p.detected[:min(len(p.detected), cocoMost)]
	return p
}

func (p *pairing) byBoxes() {
	for _, d := range p.detected {
		row := make([]float64, len(p.labels))
		for j, l := range p.labels {
			if l.Ignored {
				row[j] = within(d.Corners, l.Corners)
			} else {
				row[j] = event.Overlap(d.Corners, l.Corners)
			}
		}
		p.overlaps = append(p.overlaps, row)
	}
}

// byMasks compares pixels. Of an image that was not inspected there is nothing to compare.
func (p *pairing) byMasks(im *Image) error {
	if len(p.detected) == 0 || len(p.labels) == 0 {
		p.overlaps = make([][]float64, len(p.detected))
		return nil
	}
	room := maxTurns
	labels, err := rasters(p.labels, im, &room)
	if err != nil {
		return err
	}
	detected, err := rasters(p.detected, im, &room)
	if err != nil {
		return err
	}
	for _, d := range detected {
		row, area := make([]float64, len(labels)), d.area()
		for j, l := range labels {
			shared, whole := d.shared(l), area
			if !p.labels[j].Ignored {
				whole += l.area() - shared
			}
			if shared > 0 {
				row[j] = float64(shared) / float64(whole)
			}
		}
		p.overlaps = append(p.overlaps, row)
	}
	return nil
}

func rasters(boxes []Box, im *Image, room *int) ([]raster, error) {
	all := make([]raster, 0, len(boxes))
	for i := range boxes {
		r, err := boxes[i].shape.draw(im.width, im.height, room)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func last(b Box) int {
	if b.Ignored {
		return 1
	}
	return 0
}

// match gives each detection, best first, the free label that it overlaps most. An ignored region takes any
// number of those that are left, and they do not count.
func (p *pairing) match(bound float64, m *matching) {
	taken := make([]bool, len(p.labels))
	for i := range p.labels {
		m.labels += 1 - last(p.labels[i])
	}
	for i, d := range p.detected {
		at := p.best(i, bound, taken)
		if at >= 0 {
			taken[at] = true
			if p.labels[at].Ignored {
				continue
			}
		}
		m.detections = append(m.detections, detection{score: d.Score, hit: at >= 0})
	}
}

// best is the label that detection i takes, -1 for none. Of equal overlaps the later label is taken.
func (p *pairing) best(i int, bound float64, taken []bool) int {
	most, at := bound, -1
	for j := range p.labels {
		ignored := p.labels[j].Ignored
		if ignored && at >= 0 && !p.labels[at].Ignored {
			break
		}
		if o := p.overlaps[i][j]; (ignored || !taken[j]) && o >= most {
			most, at = o, j
		}
	}
	return at
}

// interpolated is the mean of the best precision at or beyond each of the recalls 0, 0.01 … 1.
func (m *matching) interpolated() float64 {
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
	for r := range cocoRecalls {
		for i < len(recall) && recall[i] < recallAt(r) {
			i++
		}
		if i == len(recall) {
			break
		}
		sum += precision[i]
	}
	return sum / cocoRecalls
}

// recallAt, too, is rounded as in pycocotools: 35 × 0.01 is a little more than 7/20.
func recallAt(r int) float64 {
	if r == cocoRecalls-1 {
		return 1
	}
	return float64(r) * 0.01
}
