package decode

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/models/bundle"
)

// layers say of each pixel of a semantic mask to which class it belongs.
type layers interface {
	// read takes an output, or refuses it. The other methods are about the one that was read last.
	read(values []float32) error
	// row writes the classes of a row's pixels. Where a pixel may belong to several, each layer has its own.
	row(layer, y int, classes []int16)
	holds(class, pixel int) bool
	score(class, pixel int) float32
}

// shades are as many numbers for each pixel as there are classes, one plane behind the other.
type shades struct {
	values                []float32
	classes, pixels, wide int
	probable              bool // probabilities, not logits
}

// read bounds the numbers of a plane by what they are.
func (s *shades) read(values []float32) error {
	s.values = values
	if !finite(values) {
		return fmt.Errorf("%w: a mask that is not finite", ErrOutput)
	}
	if !s.probable {
		return nil
	}
	for _, v := range values {
		if v < -scoreSlack || v > 1+scoreSlack {
			return fmt.Errorf("%w: a probability of %g: with activation none the model's last operator is "+
				"softmax or sigmoid", ErrOutput, v)
		}
	}
	return nil
}

// exclusive are planes of which the highest number says what a pixel is.
type exclusive struct {
	shades
	background int
	class      []uint16  // of each pixel
	best       []float32 // of a row
}

func (e *exclusive) read(values []float32) error {
	if err := e.shades.read(values); err != nil {
		return err
	}
	for from := 0; from < e.pixels; from += e.wide {
		e.argmax(from)
	}
	return nil
}

// argmax finds the classes of a row. Of equal numbers the first counts.
func (e *exclusive) argmax(from int) {
	class := e.class[from:][:e.wide]
	clear(class)
	copy(e.best, e.values[from:])
	for k := 1; k < e.classes; k++ {
		for x, v := range e.values[k*e.pixels+from:][:len(class)] {
			if v > e.best[x] {
				e.best[x], class[x] = v, uint16(k)
			}
		}
	}
}

func (e *exclusive) row(_, y int, classes []int16) {
	for x, class := range e.class[y*e.wide:][:len(classes)] {
		classes[x] = int16(class)
		if int(class) == e.background {
			classes[x] = none
		}
	}
}

func (e *exclusive) holds(class, pixel int) bool { return int(e.class[pixel]) == class }

func (e *exclusive) score(class, pixel int) float32 {
	own := e.values[class*e.pixels+pixel]
	if e.probable {
		return min(max(own, 0), 1)
	}
	sum := 0.0
	for k := pixel; k < len(e.values); k += e.pixels {
		sum += math.Exp(float64(e.values[k]) - float64(own))
	}
	return float32(1 / sum)
}

// independent are planes that each say for themselves whether a pixel belongs to their class: from a
// probability over one half.
type independent struct {
	shades
	background int
}

func (i *independent) row(layer, y int, classes []int16) {
	for x := range classes {
		classes[x] = none
		if layer != i.background && i.holds(layer, y*i.wide+x) {
			classes[x] = int16(layer)
		}
	}
}

func (i *independent) holds(class, pixel int) bool {
	v := i.values[class*i.pixels+pixel]
	if i.probable {
		return v > 0.5
	}
	return v > 0
}

func (i *independent) score(class, pixel int) float32 {
	v := i.values[class*i.pixels+pixel]
	if i.probable {
		return min(v, 1)
	}
	return float32(1 / (1 + math.Exp(-float64(v))))
}

// labels are the numbers of the classes.
type labels struct {
	values                    []float32
	classes, wide, background int
}

func (l *labels) read(values []float32) error {
	l.values = values
	for _, v := range values {
		if !(v >= 0 && v < float32(l.classes)) || v != float32(int(v)) { // NaN comes here, too
			return fmt.Errorf("%w: a label of %g: %d classes have the numbers 0 to %d", ErrOutput, v,
				l.classes, l.classes-1)
		}
	}
	return nil
}

func (l *labels) row(_, y int, classes []int16) {
	for x, v := range l.values[y*l.wide:][:len(classes)] {
		classes[x] = int16(v)
		if int(v) == l.background {
			classes[x] = none
		}
	}
}

func (l *labels) holds(class, pixel int) bool { return l.values[pixel] == float32(class) }

func (l *labels) score(int, int) float32 { return 1 }

// newLayers makes those of an output of so many channels.
func newLayers(m *bundle.Manifest, channels, wide, high int) (made layers, count int) {
	activation, background := m.Decoder.Activation, *m.Decoder.Background
	one := shades{
		classes: channels, pixels: wide * high, wide: wide, probable: activation == bundle.ActivationNone,
	}
	switch {
	case channels != len(m.Classes):
		return &labels{classes: len(m.Classes), wide: wide, background: background}, 1
	case channels == 1 || activation == bundle.ActivationSigmoid:
		return &independent{one, background}, channels
	default:
		return &exclusive{one, background, make([]uint16, wide*high), make([]float32, wide)}, 1
	}
}
