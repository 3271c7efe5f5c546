package bundle

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// ErrBinarize is wrapped by the errors of Preprocess.Binary.
var ErrBinarize = errors.New("not a way to binarize")

const (
	// A value of the input is at most (255 × 10⁶ + 10⁶) / 10⁻⁶, which float32 can hold.
	leastFactor = 1e-6
	mostFactor  = 1e6
	mostHalf    = 65504 // what float16 holds
	white       = 255
)

// checkGiven reports what is written, and would be used for nothing. It comes before complete.
func (m *Manifest) checkGiven(doc *strictyaml.Document) {
	m.givenOfFamilies(doc)
	m.givenOfThen(doc)
	if m.Input.Type != TypeUint8 {
		return
	}
	for _, key := range []struct {
		path  string
		given bool
	}{
		{"preprocess.scale", m.Preprocess.Scale != nil},
		{"preprocess.mean", m.Preprocess.Mean != nil},
		{"preprocess.std", m.Preprocess.Std != nil},
	} {
		if key.given {
			doc.Add(key.path, "pixels go into a uint8 input as they are", "leave it out, or take float32")
		}
	}
}

func (m *Manifest) checkPreprocess(doc *strictyaml.Document) {
	p := m.Preprocess
	doc.OneOf("preprocess.resize", p.Resize, Letterbox, Stretch)
	doc.OneOf("preprocess.color", p.Color, ColorRGB, ColorBGR, ColorGray)
	if (p.Color == ColorGray) != (m.planes() == 1) {
		doc.Add(
			"preprocess.color",
			fmt.Sprintf("%s does not fit %d input channels", p.Color, m.Input.Channels),
			"gray for 1 or a template, rgb or bgr for 3",
		)
	}
	m.checkBinarize(doc)
	m.checkNormalize(doc)
}

func (m *Manifest) checkNormalize(doc *strictyaml.Document) {
	p := m.Preprocess
	for _, list := range []struct {
		path   string
		values []float64
	}{{"preprocess.mean", p.Mean}, {"preprocess.std", p.Std}} {
		if len(list.values) != m.Input.Channels && !doc.Faulty("input.channels") {
			doc.Add(list.path, fmt.Sprintf("%d values for %d channels", len(list.values), m.Input.Channels),
				"one for each channel")
		}
	}
	doc.Within("preprocess.scale", *p.Scale, leastFactor, mostFactor)
	for i, mean := range p.Mean {
		doc.Within(fmt.Sprintf("preprocess.mean[%d]", i), mean, -mostFactor, mostFactor)
	}
	if slices.Contains(p.Std, 0) {
		doc.Add("preprocess.std", "0 would divide by zero", "leave it out for 1")
		return
	}
	for i, std := range p.Std { // one below 0 turns light and dark around
		doc.Within(fmt.Sprintf("preprocess.std[%d]", i), math.Abs(std), leastFactor, mostFactor)
	}
	m.checkHalf(doc)
}

// checkHalf reports pixels that would become infinite on a float16 input.
func (m *Manifest) checkHalf(doc *strictyaml.Document) {
	p := m.Preprocess
	if m.Input.Type != TypeFloat16 || len(p.Mean) != len(p.Std) {
		return
	}
	for i, std := range p.Std {
		for _, pixel := range []float64{0, white} {
			value := (pixel**p.Scale - p.Mean[i]) / std
			if math.Abs(value) <= mostHalf {
				continue
			}
			doc.Add("preprocess.scale", fmt.Sprintf("the pixel %g becomes %g in channel %d, and a float16 "+
				"input holds up to %d", pixel, value, i, mostHalf), "correct scale, mean and std, or take "+
				"float32")
			return
		}
	}
}

func (m *Manifest) checkBinarize(doc *strictyaml.Document) {
	p := m.Preprocess
	if _, _, err := p.Binary(); err != nil {
		doc.Add("preprocess.binarize", err.Error(), "otsu, or the least gray that becomes white, 1 to 255")
	} else if p.Binarize != "" && p.Color != ColorGray {
		doc.Add("preprocess.binarize", "the model takes colour", "leave it out, or take gray")
	}
	if m.Input.Template && p.Binarize == "" {
		doc.Add("preprocess.binarize", "missing: a template is compared in black and white",
			"such as binarize: 128, or otsu")
	}
}

// Binary reads Binarize: whether gray becomes 0 or 255, and from which gray up it becomes 255; 0 is Otsu's.
func (p Preprocess) Binary() (wanted bool, threshold uint8, err error) {
	switch p.Binarize {
	case "":
		return false, 0, nil
	case Otsu:
		return true, 0, nil
	}
	n, err := strconv.ParseUint(p.Binarize, 10, 8)
	if err != nil || n == 0 {
		return false, 0, fmt.Errorf("%w: %q is no threshold", ErrBinarize, p.Binarize)
	}
	return true, uint8(n), nil
}
