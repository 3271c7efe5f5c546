package tensor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachGrayFallsOnItsSideOfEachThreshold(t *testing.T) {
	src, dst := make([]byte, grays+5), make([]byte, grays+5)
	for i := range src {
		src[i] = byte(i)
	}
	for threshold := 1; threshold < grays; threshold++ {
		binarize(dst, src, uint8(threshold))
		for i, v := range src {
			want := byte(0)
			if int(v) >= threshold {
				want = 255
			}
			require.Equal(t, want, dst[i], "gray %d, threshold %d", v, threshold)
		}
	}
}

func TestOtsuPartsTwoHeaps(t *testing.T) {
	for name, c := range map[string]struct {
		pix       []byte
		low, high uint8 // where the threshold may lie
	}{
		"two grays":       {[]byte{10, 10, 200, 200, 10, 200}, 100, 112},
		"uneven heaps":    {[]byte{10, 12, 11, 13, 10, 12, 14, 180}, 15, 180},
		"neighbours":      {[]byte{99, 100, 99, 100}, 100, 100},
		"black and white": {[]byte{0, 255, 0, 255, 0, 0}, 120, 136},
		"one gray":        {[]byte{77, 77, 77}, 255, 255},
	} {
		t.Run(name, func(t *testing.T) {
			got := otsu(c.pix, len(c.pix), 1, len(c.pix))
			require.GreaterOrEqual(t, got, c.low)
			require.LessOrEqual(t, got, c.high)
		})
	}
}

func TestOtsuReadsRowsAndNotTheirPadding(t *testing.T) {
	require.Equal(t, otsu([]byte{10, 200, 10, 200}, 2, 2, 2), otsu([]byte{10, 200, 99, 10, 200}, 2, 2, 3))
}
