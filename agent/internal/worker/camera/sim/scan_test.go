package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScanningWordsAgreesWithScanningPixels(t *testing.T) {
	for _, width := range []int{64, 65, 77, 120} {
		c := newCanvas(width, 66)
		r := stream(1, uint64(width), 0)
		for range 6 {
			c.fill(line(r.in(0, width), r.in(0, 66), r.in(0, width), r.in(0, 66), r.in(4, 20)))
		}
		s := newScanner(c)
		dst := make([]byte, width*66)
		exposures := []exposure{{}, {dx: 1, dy: -1, bias: 20, roughness: 16, gx: 250, gy: 9}, {dx: -1, dy: 1}}
		for _, e := range exposures {
			s.scan(c, e, dst)
			for i, v := range dst {
				if want := s.at(c, e, i%width, i/width); want != v {
					require.Equal(t, want, v, "width %d, %v, pixel %d", width, e, i)
				}
			}
		}
	}
}

// The thinnest traces and gaps that the layouts draw must survive the roughest exposure: what it broke would
// be a defect that the truth does not know.
func TestTheCameraBreaksNoTraceAndClosesNoGap(t *testing.T) {
	c := newCanvas(640, 64)
	c.fill(line(-20, 20, 660, 20, 5))
	c.fill(rect(-20, 40, 660, 50, 0))
	c.cut(line(-20, 45, 660, 45, 5))
	s := newScanner(c)
	dst := make([]byte, 640*64)
	for _, bias := range []int{-24, 24} {
		s.scan(c, exposure{bias: bias, roughness: 18, gx: 3, gy: 77}, dst)
		for x := range 640 {
			require.EqualValues(t, copperValue, dst[20*640+x], "trace at %d", x)
			require.EqualValues(t, boardValue, dst[45*640+x], "gap at %d", x)
		}
	}
}

func TestShapesCoverWhatTheySay(t *testing.T) {
	cases := map[string]struct {
		shape  shape
		pixels int
		slack  int
	}{
		"disc":      {disc(30, 30, 10), 314, 8},
		"trace":     {line(10, 30, 50, 30, 8), 40*8 + 50, 8},
		"diagonal":  {line(20, 20, 40, 40, 8), 226 + 50, 10},
		"rectangle": {rect(10, 10, 30, 50, 0), 800, 0},
		"rounded":   {rect(10, 10, 30, 50, 5), 800 - 21, 8},
		"chamfered": {chamfered(10, 10, 50, 50, [4]int{10, 0, 10, 0}), 1600 - 100, 21},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCanvas(64, 64)
			c.fill(tc.shape)
			n := 0
			for _, v := range c.pix {
				n += int(v)
			}
			require.InDelta(t, tc.pixels, n, float64(tc.slack))
			require.False(t, c.free(tc.shape, 0))
			require.True(t, c.solid(tc.shape, 0))
			require.False(t, c.solid(tc.shape, 3))
			c.cut(tc.shape)
			require.True(t, c.free(tc.shape, 8))
		})
	}
}
