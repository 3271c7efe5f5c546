package plane_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

func sizes() [][2]int {
	return [][2]int{{64, 64}, {65, 3}, {127, 5}, {128, 2}, {130, 7}, {1, 1}, {640, 4}}
}

func noise(width, height int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(width)))
	pixels := make([]byte, width*height)
	for i := range pixels {
		pixels[i] = uint8(r.Uint32())
	}
	return pixels
}

// set reads a pixel bit by bit.
func set(p *plane.Plane, x, y int) bool { return p.Row(y)[x/64]>>(x%64)&1 == 1 }

func each(t *testing.T, f func(t *testing.T, pixels []byte, p *plane.Plane)) {
	t.Helper()
	for _, s := range sizes() {
		t.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(t *testing.T) {
			pixels, p := noise(s[0], s[1]), plane.New(s[0], s[1])
			p.Pack(pixels)
			f(t, pixels, p)
		})
	}
}

func TestPackSetsWhatIsDark(t *testing.T) {
	each(t, func(t *testing.T, pixels []byte, p *plane.Plane) {
		t.Helper()
		dark := 0
		for i, v := range pixels {
			require.Equal(t, v <= 127, set(p, i%p.Width, i/p.Width), "pixel %d", i)
			if v <= 127 {
				dark++
			}
		}
		require.Equal(t, dark, p.Count())
		require.Zero(t, p.Row(0)[p.Words-1]&^p.LastMask(), "beyond the row nothing is set")
	})
}

func TestUnpackGivesPackedPixelsBack(t *testing.T) {
	each(t, func(t *testing.T, pixels []byte, p *plane.Plane) {
		t.Helper()
		got := make([]byte, len(pixels))
		p.Extend() // margins must not show
		p.Unpack(got)
		for i, v := range pixels {
			require.Equal(t, v > 127, got[i] == 255, "pixel %d", i)
			require.Equal(t, v <= 127, got[i] == 0, "pixel %d", i)
		}
	})
}

func TestHalveTakesEverySecondPixelOfEverySecondRow(t *testing.T) {
	each(t, func(t *testing.T, _ []byte, p *plane.Plane) {
		t.Helper()
		half := plane.New((p.Width+1)/2, (p.Height+1)/2)
		p.Halve(half)
		for y := range half.Height {
			for x := range half.Width {
				require.Equal(t, set(p, 2*x, 2*y), set(half, x, y), "%d, %d", x, y)
			}
		}
	})
}

func TestWindowsRepeatTheEdgesAroundTheImage(t *testing.T) {
	each(t, func(t *testing.T, _ []byte, p *plane.Plane) {
		t.Helper()
		p.Extend()
		window := make([]uint64, 9)
		for _, x := range []int{-plane.Margin, -9, 0, 1, p.Width - 1, (p.Words-1)*64 + 63} {
			p.Window(window, x, -4, 1, 9, 1<<63-1)
			for i := range 9 {
				y := min(max(i-4, 0), p.Height-1)
				require.Equal(t, p.Bits(x, y)&(1<<63-1), window[i])
				for k := range 63 {
					want := set(p, min(max(x+k, 0), p.Width-1), y)
					require.Equal(t, want, window[i]>>k&1 == 1, "%d + %d, %d", x, k, y)
				}
			}
		}
	})
}

func TestAroundCountsWhatDiffersAtEachShift(t *testing.T) {
	each(t, func(t *testing.T, pixels []byte, p *plane.Plane) {
		t.Helper()
		other := noise(p.Width, p.Height+1)[p.Width:]
		q := plane.New(p.Width, p.Height)
		q.Pack(other)
		q.Extend()
		x, y, width := p.Width/3, p.Height/4, p.Width-p.Width/3
		words := (width + plane.Word - 1) / plane.Word
		s := plane.Search{
			Window: plane.Window{
				X: x, Y: y, Words: words, Rows: p.Height - y, Mask: ^uint64(0) >> (-width & (plane.Word - 1)),
			},
			DX: -5, DY: 2, Reach: 3,
		}
		counts := make([]int32, 7*7)
		s.Around(counts, p, q, make([]uint64, s.Scratch()))
		at := func(x, y int) bool { return set(q, min(max(x, 0), q.Width-1), min(max(y, 0), q.Height-1)) }
		for k, got := range counts {
			dx, dy, want := s.DX+k%7-s.Reach, s.DY+k/7-s.Reach, int32(0)
			for v := y; v < p.Height; v++ {
				for u := x; u < p.Width; u++ {
					if (pixels[v*p.Width+u] <= 127) != at(u+dx, v+dy) {
						want++
					}
				}
			}
			require.Equal(t, want, got, "%d, %d", dx, dy)
		}
	})
}

func TestDifferingCountsPixelsOnly(t *testing.T) {
	each(t, func(t *testing.T, pixels []byte, p *plane.Plane) {
		t.Helper()
		other := noise(p.Width, p.Height+1)[p.Width:]
		q := plane.New(p.Width, p.Height)
		q.Pack(other)
		q.Extend() // margins must not count
		want := 0
		for i := range pixels {
			if (pixels[i] > 127) != (other[i] > 127) {
				want++
			}
		}
		require.Equal(t, want, p.Differing(q))
		require.Equal(t, want, q.Differing(p))
		require.Zero(t, q.Differing(q))
	})
}
