package tensor

import (
	"math"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// Weights of a bilinear sum in 11 bits, as OpenCV takes them for 8-bit pictures.
const (
	weightBits = 11
	weightOne  = 1 << weightBits
	sumHalf    = 1 << (2*weightBits - 1)
)

// tap is the first of two neighbouring samples and the weight of the second; the second is step further.
type tap struct{ first, step, weight int }

// goScaler is the twin of OpenCV's resize for builds without it and for frames with padded rows.
type goScaler struct {
	ready        scaling // that columns and rows are for
	columns      columns
	rows         []tap
	out          []byte
	above, below []int32
}

// scaling is from one size to another.
type scaling struct{ givenWidth, givenHeight, width, height, channels int }

// columns are the taps of a row: places of samples, of a pixel's first channel, and the weight of the second.
type columns struct {
	taps                  []tap
	first, second, weight []int32
}

// lay places the columns of a row.
func (c *columns) lay(given, wanted, channels int) {
	c.taps = taps(c.taps[:0], given, wanted)
	c.first, c.second, c.weight = c.first[:0], c.second[:0], c.weight[:0]
	for _, t := range c.taps {
		c.first = append(c.first, int32(t.first*channels))
		c.second = append(c.second, int32((t.first+t.step)*channels))
		c.weight = append(c.weight, int32(t.weight))
	}
}

func (s *goScaler) close() {}

func (s *goScaler) scale(f *frame.Frame, width, height int) ([]byte, error) {
	if asked := (scaling{f.Width, f.Height, width, height, f.Channels}); asked != s.ready {
		s.ready = asked
		s.columns.lay(f.Width, width, f.Channels)
		s.rows = taps(s.rows[:0], f.Height, height)
	}
	n := width * f.Channels
	s.out = grow(s.out, n*height)
	s.above, s.below = grow(s.above, n), grow(s.below, n)
	ready := tap{first: -1} // whose sums along the row stand in above and below
	for y, t := range s.rows {
		if t.first != ready.first || t.step != ready.step {
			s.turn(f, ready, t)
			ready = t
		}
		blend(s.out[y*n:][:n], s.above, s.below, int32(t.weight))
	}
	return s.out, nil
}

// turn makes the sums of two rows, of which those of the pair before may have one.
func (s *goScaler) turn(f *frame.Frame, before, next tap) {
	if before.step == 1 && next.first == before.first+1 {
		s.above, s.below = s.below, s.above
	} else {
		s.across(s.above, f, next.first)
	}
	s.across(s.below, f, next.first+next.step)
}

// across scales one row of the frame into sums of weightBits.
func (s *goScaler) across(dst []int32, f *frame.Frame, row int) {
	across(dst, f.Pix[row*f.Stride:][:f.Width*f.Channels], &s.columns, f.Channels)
}

// The two below are what the C of kernel.c does, for builds without it.

func goAcross(dst []int32, src []byte, c *columns, channels int) {
	for x, weight := range c.weight {
		first, second := src[c.first[x]:][:channels], src[c.second[x]:][:channels]
		to := dst[x*channels:][:channels]
		for i := range to {
			a, b := int32(first[i]), int32(second[i])
			to[i] = a*weightOne + (b-a)*weight
		}
	}
}

func goBlend(dst []byte, above, below []int32, weight int32) {
	above, below = above[:len(dst)], below[:len(dst)]
	for i := range dst {
		dst[i] = uint8((above[i]*(weightOne-weight) + below[i]*weight + sumHalf) >> (2 * weightBits))
	}
}

// taps places the centres of the wanted pixels over the given ones.
func taps(out []tap, given, wanted int) []tap {
	ratio := float64(given) / float64(wanted)
	for i := range wanted {
		at := (float64(i)+0.5)*ratio - 0.5
		first := int(math.Floor(at))
		t := tap{first: first, step: 1, weight: int(math.RoundToEven((at - float64(first)) * weightOne))}
		if first < 0 {
			t = tap{}
		}
		if first >= given-1 {
			t = tap{first: given - 1}
		}
		out = append(out, t)
	}
	return out
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
