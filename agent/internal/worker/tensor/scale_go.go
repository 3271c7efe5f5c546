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
	geometry     Geometry
	columns      []tap
	rows         []tap
	out          []byte
	above, below []int32
}

func (s *goScaler) close() {}

func (s *goScaler) scale(f *frame.Frame, width, height int) ([]byte, error) {
	g := Geometry{FrameWidth: f.Width, FrameHeight: f.Height, Width: width, Height: height}
	if g != s.geometry {
		s.geometry = g
		s.columns = taps(s.columns[:0], f.Width, width)
		s.rows = taps(s.rows[:0], f.Height, height)
	}
	n := width * f.Channels
	s.out = grow(s.out, n*height)
	s.above, s.below = grow(s.above, n), grow(s.below, n)
	ready := tap{first: -1} // whose horizontal sums stand in above and below
	for y, t := range s.rows {
		if t.first != ready.first || t.step != ready.step {
			s.across(s.above, f, t.first)
			s.across(s.below, f, t.first+t.step)
			ready = t
		}
		blend(s.out[y*n:(y+1)*n], s.above, s.below, int32(t.weight))
	}
	return s.out, nil
}

// across scales one row of the frame into sums of weightBits.
func (s *goScaler) across(dst []int32, f *frame.Frame, row int) {
	src, channels := f.Pix[row*f.Stride:], f.Channels
	for x, t := range s.columns {
		at := t.first * channels
		for c := range channels {
			a, b := int32(src[at+c]), int32(src[at+t.step*channels+c])
			dst[x*channels+c] = a*weightOne + (b-a)*int32(t.weight)
		}
	}
}

func blend(dst []byte, above, below []int32, weight int32) {
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
