package tensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/models/bundle"
)

// side is the end of guarded memory that lies at a page without any rights.
type side string

const (
	start side = "start" // a byte before it faults
	end   side = "end"   // a byte after it faults
)

// guarded returns n bytes between two pages without rights, at one of them. C that reads or writes across
// that side ends the test's process with SIGSEGV.
func guarded(tb testing.TB, n int, at side) []byte {
	tb.Helper()
	page := unix.Getpagesize()
	inside := (n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, inside+2*page, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, unix.Munmap(mem)) })
	usable := mem[page : page+inside]
	if inside > 0 {
		require.NoError(tb, unix.Mprotect(usable, unix.PROT_READ|unix.PROT_WRITE))
	}
	if at == start {
		return usable[:n:n]
	}
	return usable[inside-n:]
}

// guardedNoise is guarded memory with arbitrary content.
func guardedNoise(tb testing.TB, n int, at side) []byte {
	tb.Helper()
	mem := guarded(tb, n, at)
	r := rand.New(rand.NewPCG(2, uint64(n)))
	for i := range mem {
		mem[i] = uint8(r.Uint32())
	}
	return mem
}

// guardedFloats is guarded memory of n values, all 0.
func guardedFloats(tb testing.TB, n int, at side) []float32 {
	tb.Helper()
	mem := guarded(tb, 4*n, at)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// widths are those around whole vectors of 4, 8, 16 and 32 samples.
func widths() []int {
	return []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 63, 64, 65, 640}
}

// This build's code makes what its twin in Go makes, and touches nothing else.
func TestSamplingStaysInItsMemory(t *testing.T) {
	for name, c := range map[string]struct {
		given, made int // channels
		own, twin   func(dst, src []byte, s sampling)
	}{
		"gray":   {gray, gray, takeGray, goTakeGray},
		"colour": {colours, colours, takeColour, goTakeColour},
		"luma":   {colours, gray, takeLuma, goTakeLuma},
	} {
		for _, at := range []side{start, end} {
			t.Run(fmt.Sprintf("%s, %s", name, at), func(t *testing.T) {
				for _, s := range samplings(c.given) {
					src := guardedNoise(t, s.span(c.given), at)
					n := s.width * s.height * c.made
					got, want := guarded(t, n, at), make([]byte, n)
					c.own(got, src, s)
					c.twin(want, src, s)
					require.Equal(t, want, got, "%+v", s)
				}
			})
		}
	}
}

// samplings of pictures with the given channels: one in 1, 3 and 5 pixels, of rows with and without padding.
func samplings(channels int) []sampling {
	var all []sampling
	for _, width := range widths() {
		for _, ratio := range []int{1, 3, 5} {
			for _, padding := range []int{0, 1, 61} {
				for _, height := range []int{1, 3} {
					step := ratio * channels
					all = append(all, sampling{
						width: width, height: height, step: step, stride: ratio * (width*step + padding),
					})
				}
			}
		}
	}
	return all
}

// The same of scaling: each row of a picture, and the sum of two.
func TestScalingStaysInItsMemory(t *testing.T) {
	for _, at := range []side{start, end} {
		for _, channels := range []int{gray, colours} {
			for _, given := range widths() {
				for _, wanted := range []int{1, 7, 8, 33, 64} {
					var c columns
					c.lay(given, wanted, channels)
					src, n := guardedNoise(t, given*channels, at), wanted*channels
					got, want := guardedInts(t, n, at), make([]int32, n)
					across(got, src, &c, channels)
					goAcross(want, src, &c, channels)
					require.Equal(t, want, got, "%d of %d", wanted, given)
					below := guardedInts(t, n, at)
					for _, weight := range []int32{0, 1, 1024, weightOne} {
						mixed, twin := guarded(t, n, at), make([]byte, n)
						blend(mixed, got, below, weight)
						goBlend(twin, got, below, weight)
						require.Equal(t, twin, mixed)
					}
				}
			}
		}
	}
}

// guardedInts is guarded memory of n numbers, all 0.
func guardedInts(tb testing.TB, n int, at side) []int32 {
	tb.Helper()
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(guarded(tb, 4*n, at)))), n)
}

// The same of the model's input.
func TestSpreadingStaysInItsMemory(t *testing.T) {
	for _, at := range []side{start, end} {
		t.Run(string(at), func(t *testing.T) {
			for _, s := range spreadings() {
				src := guardedNoise(t, (s.height-1)*s.fromStride+(s.width-1)*s.fromStep+1, at)
				n := (s.height-1)*s.toStride + (s.width-1)*s.toStep + 1
				got, want := guardedFloats(t, n, at), make([]float32, n)
				spreadFloats(got, src, s)
				goSpreadFloats(want, src, s)
				require.InDeltaSlice(t, want, got, 1e-6, "%+v", s)
			}
		})
	}
}

// spreadings between planes and interleaved samples, of rows with and without padding.
func spreadings() []spreading {
	var all []spreading
	for _, width := range widths() {
		for _, steps := range [][2]int{{1, 1}, {1, 3}, {3, 1}, {3, 3}} {
			for _, padding := range []int{0, 1, 61} {
				for _, height := range []int{1, 3} {
					all = append(all, spreading{
						width: width, height: height, scale: 1. / 51, offset: -2.1,
						fromStep: steps[0], fromStride: steps[0]*width + padding,
						toStep: steps[1], toStride: steps[1]*width + padding,
					})
				}
			}
		}
	}
	return all
}

// shape is a picture and a model's input, as a fuzzer chooses them.
type shape struct {
	frameWidth, frameHeight, frameChannels, padding uint8
	width, height                                   uint8
	colour, interleaved, stretched, bytes           bool
}

func (s shape) plan() *Plan {
	in := unit(int(s.width)+1, int(s.height)+1, gray)
	color := bundle.ColorGray
	if s.colour {
		in.Channels, color = bgr, bundle.ColorRGB
	}
	if s.interleaved {
		in.Layout = bundle.LayoutNHWC
	}
	if s.bytes {
		in.Type = bundle.TypeUint8
	}
	plan := newPlan(in, color, 1, []float64{0, 0, 0}, []float64{1, 1, 1})
	plan.stretched = s.stretched
	return plan
}

// frame is a picture whose last sample is the last of its memory.
func (s shape) frame(tb testing.TB, at side) *frame.Frame {
	tb.Helper()
	f := &frame.Frame{
		Width: int(s.frameWidth) + 1, Height: int(s.frameHeight) + 1, Channels: gray,
	}
	if s.frameChannels%2 == 1 {
		f.Channels = bgr
	}
	f.Stride = f.Width*f.Channels + int(s.padding)
	f.Pix = guardedNoise(tb, (f.Height-1)*f.Stride+f.Width*f.Channels, at)
	return f
}

// levels is what a canvas with the scaler makes of the frame, in guarded memory: a value is a gray level.
func (s shape) levels(tb testing.TB, at side, own scaler) ([]float32, Geometry) {
	tb.Helper()
	plan := s.plan()
	canvas := &Canvas{plan: plan, scaler: own}
	defer canvas.Close()
	in := &Input{}
	if s.bytes {
		in.Bytes = guarded(tb, plan.Size(), at)
	} else {
		in.Floats = guardedFloats(tb, plan.Size(), at)
	}
	require.NoError(tb, canvas.Fit(s.frame(tb, at)))
	canvas.Fill(in)
	values := in.Floats
	for _, b := range in.Bytes {
		values = append(values, float32(b))
	}
	return values, canvas.Geometry()
}

// FuzzFitAndFill demands of any sizes that nothing outside of frame and input is touched, that the border is
// the pad's, and that this build's scaler and the one in Go agree within one grey level.
func FuzzFitAndFill(f *testing.F) {
	for _, c := range []shape{
		{63, 63, 0, 0, 63, 63, false, false, false, false},    // as it is
		{191, 107, 1, 0, 63, 63, false, false, false, false},  // one pixel in three, to gray
		{191, 107, 1, 7, 63, 35, true, true, false, true},     // the same in colour, padded rows
		{0, 0, 0, 0, 31, 31, true, false, false, false},       // one pixel
		{0, 254, 1, 1, 62, 3, true, false, true, false},       // a column
		{254, 0, 0, 3, 2, 254, false, false, false, true},     // a row
		{32, 6, 1, 0, 63, 63, true, false, false, false},      // grows
		{100, 74, 1, 5, 32, 23, false, false, true, false},    // padded, stretched
		{31, 31, 1, 0, 31, 31, false, false, false, false},    // to gray alone
		{8, 8, 1, 2, 8, 8, true, true, true, false},           // one more than a vector
		{254, 254, 1, 254, 0, 0, true, false, false, true},    // to one pixel
		{16, 16, 0, 0, 16, 8, true, true, false, true},        // gray to colour
		{44, 14, 1, 0, 14, 4, false, false, true, false},      // one in three, odd sizes
		{84, 34, 0, 255, 16, 6, false, false, true, false},    // one in five, padded
		{255, 255, 1, 0, 255, 255, true, false, false, false}, // the largest here
	} {
		f.Add(c.frameWidth, c.frameHeight, c.frameChannels, c.padding, c.width, c.height,
			c.colour, c.interleaved, c.stretched, c.bytes)
	}
	f.Fuzz(func(t *testing.T, frameWidth, frameHeight, frameChannels, padding, width, height uint8,
		colour, interleaved, stretched, bytes bool,
	) {
		s := shape{
			frameWidth, frameHeight, frameChannels, padding, width, height,
			colour, interleaved, stretched, bytes,
		}
		want, g := s.levels(t, end, &goScaler{})
		s.bordered(t, want, g)
		for _, at := range []side{start, end} {
			got, _ := s.levels(t, at, newScaler())
			require.InDeltaSlice(t, want, got, 1, "%+v", s)
		}
	})
}

// bordered demands the pad around the picture.
func (s shape) bordered(t *testing.T, levels []float32, g Geometry) {
	t.Helper()
	plan := s.plan()
	for channel := range plan.channels {
		for y := range plan.height {
			for x := range plan.width {
				inside := x >= g.Left && x < g.Left+g.Width && y >= g.Top && y < g.Top+g.Height
				if level := levels[plan.at(channel, x, y)]; !inside && level != float32(plan.pad) {
					t.Fatalf("%+v: the border at %d, %d is %g", s, x, y, level)
				}
			}
		}
	}
}
