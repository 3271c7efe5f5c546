package decode

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// half is the score of an anomaly's threshold.
const half = 0.5

// anomaly is a map [1, 1, h, w] or [1, h, w] of how unusual each place is, and, where the model has it, a
// number for the image, [1] or [1, 1]. Of an unusual image the connected parts of the map that are unusual
// are findings; the strongest of them has the image's score.
type anomaly struct {
	raster
	floor        float32
	image, pixel normalization
	normalized   bool

	values  []float32 // of the map that is read
	parts   *parts
	found   []part // the strongest; once full, a heap with its weakest on top
	left    detect.Cut
	classes []int16
	numbers []float32
	heat    detect.Heat // of the last image
}

// normalization makes scores of numbers: 0.5 at the threshold, and a range as wide as 1.
type normalization struct{ threshold, width float64 }

func (n normalization) score(v float32) float32 { return float32(min(max(n.open(v), 0), 1)) }

// open is a score that is not cut off at 0 and 1.
func (n normalization) open(v float32) float64 { return (float64(v)-n.threshold)/n.width + half }

// reaches says whether a number scores 0.5 or more.
func (n normalization) reaches(v float32) bool { return float64(v) >= n.threshold }

func newAnomaly(m *bundle.Manifest, ports []Port) (family, error) {
	wide, high, err := heatShape(&ports[0])
	if err != nil {
		return nil, err
	}
	if len(ports) > 1 {
		if err = ports[1].single(); err != nil {
			return nil, err
		}
	}
	a := &anomaly{
		raster: newRaster(m, wide, high), floor: float32(m.Decoder.ScoreFloor),
		normalized: m.Decoder.Anomaly.Normalized,
		image:      normalization{half, 1}, pixel: normalization{half, 1},
		found:   make([]part, 0, m.Decoder.MaxDetections),
		classes: make([]int16, wide), numbers: make([]float32, wide),
	}
	if raw := m.Decoder.Anomaly; !raw.Normalized {
		width := *raw.Max - *raw.Min
		a.image = normalization{*raw.ImageThreshold, width}
		a.pixel = normalization{*raw.PixelThreshold, width}
	}
	a.parts = newParts(wide, a.offer)
	return a, nil
}

// heatShape reads the map's dimensions.
func heatShape(out *Port) (wide, high int, err error) {
	const wanted = "the decoder anomaly reads a map [1 1 h w] or [1 h w]"
	dims := min(max(len(out.Dims), 3), 4) //nolint:mnd // dimensions
	if err = out.shaped(dims, wanted); err != nil {
		return 0, 0, err
	}
	h, w := out.Dims[dims-2], out.Dims[dims-1]
	if out.Dims[1] != 1 && dims == 4 { //nolint:mnd // dimensions
		return 0, 0, fmt.Errorf("output %q is %s, %s", out.Name, onnxfile.Shape(out.Dims), wanted)
	}
	if h < 1 || w < 1 || h > maxPixels || w > maxPixels || h*w > maxPixels {
		return 0, 0, fmt.Errorf("output %q is %s, over %d pixels", out.Name, onnxfile.Shape(out.Dims),
			maxPixels)
	}
	return int(w), int(h), nil
}

// single says what is wrong with an output that should be one number.
func (p *Port) single() error {
	one := func(d int64) bool { return d == 1 }
	if n := len(p.Dims); n < 1 || n > 2 || !one(p.Dims[0]) || !one(p.Dims[n-1]) {
		return fmt.Errorf("output %q is %s, the decoder anomaly reads a score [1] or [1 1]", p.Name,
			onnxfile.Shape(p.Dims))
	}
	return nil
}

func (a *anomaly) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := a.read(outputs); err != nil {
		return err
	}
	if err := a.cover(g); err != nil {
		return err
	}
	number := a.number(outputs)
	a.picture(g, number)
	score := a.image.score(number)
	if score < a.floor {
		return nil
	}
	a.connect()
	if len(a.found) == 0 {
		d.keep(detect.Detection{
			Score: score, Box: [4]float32{2: float32(g.FrameWidth), 3: float32(g.FrameHeight)},
		})
		return nil
	}
	for i := range a.found {
		found := a.around(&a.found[i], a, g)
		found.Score = min(a.pixel.score(a.found[i].best), score)
		if i == 0 {
			found.Score = score
		}
		d.keep(found)
	}
	if a.left.Count > 0 {
		d.cut.Add(detect.Cut{Count: a.left.Count, Score: min(a.left.Score, score)})
	}
	return nil
}

// read refuses numbers that no map has.
func (a *anomaly) read(outputs [][]float32) error {
	a.values = outputs[0]
	if want := a.wide * a.high; len(a.values) != want || len(outputs) > 1 && len(outputs[1]) != 1 {
		return fmt.Errorf("%w: %d values of a map instead of %d", ErrOutput, len(a.values), want)
	}
	for _, output := range outputs {
		if !finite(output) {
			return fmt.Errorf("%w: an anomaly map or score that is not finite", ErrOutput)
		}
		if !a.normalized {
			continue
		}
		if low, high := slices.Min(output), slices.Max(output); low < -scoreSlack || high > 1+scoreSlack {
			return fmt.Errorf("%w: anomaly scores of %g to %g: if the model does not normalize them, "+
				"correct decoder.anomaly", ErrOutput, low, high)
		}
	}
	return nil
}

// picture describes the map for those who look at all of it.
func (a *anomaly) picture(g tensor.Geometry, number float32) {
	low := project(g, point{})
	high := project(g, point{float64(a.wide) * a.scaleX, float64(a.high) * a.scaleY})
	a.heat = detect.Heat{
		Values: a.values, Width: a.wide, Height: a.high,
		Box:   [4]float32{float32(low.x), float32(low.y), float32(high.x), float32(high.y)},
		Score: float32(a.image.open(number)), Threshold: a.pixel.threshold, Range: a.pixel.width,
	}
}

// number is the image's: the model's, or else the highest of the places of the map that the frame covers.
func (a *anomaly) number(outputs [][]float32) float32 {
	if len(outputs) > 1 {
		return outputs[1][0]
	}
	highest := a.values[a.y1*a.wide+a.x1]
	for y := a.y1; y < a.y2; y++ {
		highest = max(highest, slices.Max(a.values[y*a.wide:][a.x1:a.x2]))
	}
	return highest
}

// connect finds the parts of the map that reach the pixels' threshold, the strongest first.
func (a *anomaly) connect() {
	a.found, a.left = a.found[:0], detect.Cut{}
	a.parts.reset()
	for x := range a.classes {
		a.classes[x] = none
	}
	for y := a.y1; y < a.y2; y++ {
		copy(a.numbers, a.values[y*a.wide:])
		for x := a.x1; x < a.x2; x++ {
			a.classes[x] = none
			if a.pixel.reaches(a.numbers[x]) {
				a.classes[x] = 0
			}
		}
		a.parts.row(y, a.classes, a.numbers)
	}
	a.parts.end()
	slices.SortFunc(a.found, stronger)
}

// offer keeps the strongest, and counts the others.
func (a *anomaly) offer(p *part) {
	var left part
	var full bool
	weaker := func(p, q part) bool { return stronger(p, q) > 0 }
	if a.found, left, full = keepBest(a.found, *p, weaker); full {
		a.left.Add(detect.Cut{Count: 1, Score: a.pixel.score(left.best)})
	}
}

// stronger orders by the highest place, then by size and by where a part begins.
func stronger(p, q part) int {
	return cmp.Or(cmp.Compare(q.best, p.best), cmp.Compare(q.pixels, p.pixels), cmp.Compare(p.y, q.y),
		cmp.Compare(p.x, q.x))
}

// in says whether a place of the map is part of a finding.
func (a *anomaly) in(x, y int) bool { return a.covers(x, y) && a.pixel.reaches(a.values[y*a.wide+x]) }

// Assume fixes sizes that a model's file leaves open where the family knows them, but for the first, the
// number of images. Exporters of anomaly models write none: their maps are as large as the input, and a score
// is one number. A run refuses what turns out otherwise.
func Assume(m *bundle.Manifest, role string, dims []int64) []int64 {
	if m.Decoder.Family != bundle.FamilyAnomaly {
		return dims
	}
	assumed := slices.Clone(dims)
	for i := 1; i < len(assumed); i++ {
		switch {
		case assumed[i] != onnxfile.Dynamic:
		case role == "map" && i == len(dims)-1:
			assumed[i] = int64(m.Input.Width)
		case role == "map" && i == len(dims)-2:
			assumed[i] = int64(m.Input.Height)
		default:
			assumed[i] = 1
		}
	}
	return assumed
}
