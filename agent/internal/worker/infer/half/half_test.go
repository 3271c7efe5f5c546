package half

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
)

// ways are both texts of the conversions: the one that is built in, and Go's.
type way struct {
	narrow func(dst []uint16, src []float32)
	widen  func(dst []float32, src []uint16)
}

func ways() map[string]way {
	return map[string]way{"built in": {Narrow, Widen}, "Go": {goNarrow, goWiden}}
}

// value is what IEEE 754 says that a half is: mantissa and exponent, or an infinity or none.
func value(h uint16) float64 {
	exponent, mantissa := int(h>>10&31), float64(h&1023)
	v := math.Ldexp(1024+mantissa, exponent-25)
	switch {
	case exponent == 31 && mantissa != 0:
		v = math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(mantissa, -24)
	}
	if h&sign != 0 {
		v = -v
	}
	return v
}

func all() []uint16 {
	halves := make([]uint16, 1<<16)
	for i := range halves {
		halves[i] = uint16(i)
	}
	return halves
}

func TestEachHalfIsTheNumberThatTheStandardSays(t *testing.T) {
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			halves := all()
			wide, back := make([]float32, len(halves)), make([]uint16, len(halves))
			w.widen(wide, halves)
			w.narrow(back, wide)
			for i, h := range halves {
				want := value(h)
				if math.IsNaN(want) {
					require.True(t, math.IsNaN(float64(wide[i])), "%#x", h)
					require.Equal(t, quiet|h&sign, back[i], "%#x", h)
					continue
				}
				require.Equal(t, math.Float64bits(want), math.Float64bits(float64(wide[i])), "%#x", h)
				require.Equal(t, h, back[i], "%#x", h)
			}
		})
	}
}

// Between two neighbours lies a middle, which becomes the even one; a hair beside it is nearer to its side.
func TestTheNearestHalfIsTaken(t *testing.T) {
	for name, w := range ways() {
		t.Run(name, func(t *testing.T) {
			for h := range uint16(infinity) {
				below, above := value(h), value(h+1)
				if h+1 == infinity {
					above = 65536 // where the next would be
				}
				middle := float32((below + above) / 2)
				even := h + h&1
				src := []float32{
					math.Nextafter32(middle, 0), middle, math.Nextafter32(middle, 70000), -middle,
				}
				got := make([]uint16, len(src))
				w.narrow(got, src)
				require.Equal(t, []uint16{h, even, h + 1, even | sign}, got, "%#x", h)
			}
		})
	}
}

func TestWhatNoHalfHoldsIsInfinite(t *testing.T) {
	huge := float32(math.MaxFloat32)
	endless := float32(math.Inf(1))
	src := []float32{Largest, 65519, 65520, 1e6, huge, endless, -huge, -endless, 1e-8, -1e-40}
	want := []uint16{
		0x7bff, 0x7bff, infinity, infinity, infinity, infinity, infinity | sign, infinity | sign, 0, sign,
	}
	for name, w := range ways() {
		got := make([]uint16, len(src))
		w.narrow(got, src)
		require.Equal(t, want, got, name)
	}
}

// Vectors take the first numbers of a list and a loop the last: both texts agree for each length.
func TestBothWaysAgreeWhateverTheLength(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 16))
	for n := range 70 {
		src := make([]float32, n)
		for i := range src {
			src[i] = math.Float32frombits(r.Uint32())
		}
		fast, slow := make([]uint16, n+1), make([]uint16, n+1)
		fast[n], slow[n] = 7, 7 // stays
		Narrow(fast, src)
		goNarrow(slow, src)
		require.Equal(t, slow, fast)
		wide, other := make([]float32, n+1), make([]float32, n+1)
		Widen(wide, fast[:n])
		goWiden(other, slow[:n])
		require.True(t, slices.EqualFunc(wide, other, func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		}))
	}
}

func TestAConversionAllocatesNothing(t *testing.T) {
	src, halves := make([]float32, 1000), make([]uint16, 1000)
	require.Zero(t, alloctest.Least(10, func() {
		Narrow(halves, src)
		Widen(src, halves)
	}))
}

const pixels = 640 * 640 * 3

func BenchmarkNarrow(b *testing.B) {
	src, dst := make([]float32, pixels), make([]uint16, pixels)
	for i := range src {
		src[i] = float32(i%256) / 255
	}
	b.SetBytes(4 * pixels)
	for b.Loop() {
		Narrow(dst, src)
	}
	require.Equal(b, uint16(0x3c00), dst[255])
}

func BenchmarkWiden(b *testing.B) {
	src, dst := make([]uint16, pixels), make([]float32, pixels)
	for i := range src {
		src[i] = uint16(i % 0x3c01) // 0 to 1, as scores are
	}
	b.SetBytes(4 * pixels)
	for b.Loop() {
		Widen(dst, src)
	}
	require.Equal(b, float32(1), dst[0x3c00])
}
