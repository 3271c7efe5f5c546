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

// semantic is a mask over the input: [1, classes, h, w] numbers of each class, or the classes' own numbers
// [1, h, w] or [1, 1, h, w]. Each connected part of a class, the background's excepted, is a finding.
type semantic struct {
	raster
	layers
	count, channels int     // of layers, and of the output
	floor           float32 // of a finding's score
	least           float64 // pixels of the frame that it has

	class   int // that is traced
	parts   *parts
	found   []part // the largest; once full, a heap with its smallest on top
	decoder *Decoder
	classes []int16
	scores  []float32
}

func newSemantic(m *bundle.Manifest, ports []Port) (family, error) {
	channels, wide, high, err := maskShape(m, &ports[0])
	if err != nil {
		return nil, err
	}
	s := &semantic{
		raster: newRaster(m, wide, high), channels: channels,
		floor: float32(m.Decoder.ScoreFloor), least: m.Decoder.MinArea,
		found:   make([]part, 0, m.Decoder.MaxDetections),
		classes: make([]int16, wide), scores: make([]float32, wide),
	}
	s.layers, s.count = newLayers(m, channels, wide, high)
	s.parts = newParts(wide, s.offer)
	return s, nil
}

// maskShape reads an output's dimensions. One channel of one class is a plane, one of several are labels.
func maskShape(m *bundle.Manifest, out *Port) (channels, wide, high int, err error) {
	dims := len(out.Dims)
	if err = out.shaped(max(min(dims, 4), 3), //nolint:mnd // dimensions
		"the decoder semantic reads [1 classes h w], or labels [1 h w] or [1 1 h w]"); err != nil {
		return 0, 0, 0, err
	}
	c, h, w := int64(1), out.Dims[dims-2], out.Dims[dims-1]
	labelled := dims == 3 || out.Dims[1] == 1 && len(m.Classes) > 1
	if !labelled {
		c = out.Dims[1]
		if err = out.classes(c, m); err != nil {
			return 0, 0, 0, err
		}
	}
	switch {
	case labelled && len(m.Classes) == 1:
		return 0, 0, 0, fmt.Errorf("output %q is %s, labels of several classes: name the background as a "+
			"class, too", out.Name, onnxfile.Shape(out.Dims))
	case h < 1 || w < 1 || h > maxPixels || w > maxPixels || h*w > maxPixels:
		return 0, 0, 0, fmt.Errorf("output %q is %s, over %d pixels", out.Name,
			onnxfile.Shape(out.Dims), maxPixels)
	}
	return int(c), int(w), int(h), nil
}

func (s *semantic) decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error {
	if err := s.sized(outputs[0]); err != nil {
		return err
	}
	if err := s.read(outputs[0]); err != nil {
		return err
	}
	if err := s.cover(g); err != nil {
		return err
	}
	s.found, s.decoder = s.found[:0], d
	for layer := range s.count {
		s.connect(layer)
	}
	slices.SortFunc(s.found, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.mean(), a.mean()), cmp.Compare(b.pixels, a.pixels), cmp.Compare(a.y, b.y),
			cmp.Compare(a.x, b.x), cmp.Compare(a.class, b.class))
	})
	for i := range s.found {
		d.keep(s.detection(&s.found[i], g))
	}
	return nil
}

func (s *semantic) sized(output []float32) error {
	if want := s.channels * s.wide * s.high; len(output) != want {
		return fmt.Errorf("%w: %d values instead of %d", ErrOutput, len(output), want)
	}
	return nil
}

// connect finds the parts of a layer, as far as the frame goes.
func (s *semantic) connect(layer int) {
	s.parts.reset()
	for y := s.y1; y < s.y2; y++ {
		s.row(layer, y, s.classes)
		for x, class := range s.classes {
			switch {
			case x < s.x1 || x >= s.x2:
				s.classes[x] = none
			case class != none:
				s.scores[x] = s.score(int(class), y*s.wide+x)
			}
		}
		s.parts.row(y, s.classes, s.scores)
	}
	s.parts.end()
}

// offer keeps the largest, and counts the others.
func (s *semantic) offer(p *part) {
	if float64(p.pixels)*s.pixel < s.least || p.mean() < s.floor {
		return
	}
	var left part
	var full bool
	if s.found, left, full = keepBest(s.found, *p, smaller); full {
		s.decoder.cut.Add(detect.Cut{Count: 1, Score: left.mean()})
	}
}

// smaller orders by pixels, then by place, so that what is kept does not depend on the order of arrival.
func smaller(a, b part) bool {
	return cmp.Or(cmp.Compare(a.pixels, b.pixels), cmp.Compare(b.y, a.y), cmp.Compare(b.x, a.x),
		cmp.Compare(b.class, a.class)) < 0
}

// in says whether a pixel is of the class that is traced.
func (s *semantic) in(x, y int) bool {
	return s.covers(x, y) && s.holds(s.class, y*s.wide+x)
}

func (s *semantic) detection(p *part, g tensor.Geometry) detect.Detection {
	s.class = p.class
	found := s.around(p, s, g)
	found.Class, found.Score = p.class, p.mean()
	return found
}
