package evidence_test

import (
	"bytes"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

// noisy is a part of a larger frame, so that its rows have gaps.
func noisy(tb testing.TB, width, height, channels int) *frame.Frame {
	tb.Helper()
	whole := &frame.Frame{}
	require.NoError(tb, whole.Shape(width+5, height+3, channels))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range whole.Pix {
		whole.Pix[i] = byte(random.Uint32())
	}
	part := whole.Part(2, 1, width, height)
	tb.Cleanup(whole.Release)
	return &part
}

func TestAPlainPictureIsTheFrameBitForBit(t *testing.T) {
	for _, channels := range []int{1, 3} {
		f := noisy(t, 31, 17, channels)
		b, err := evidence.Plain(f, 1<<20)
		require.NoError(t, err)
		got, format, err := image.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, "png", format)
		require.Equal(t, image.Rect(0, 0, 31, 17), got.Bounds())
		for y := range f.Height {
			for x := range f.Width {
				at := f.Pix[y*f.Stride+x*channels:]
				blue, red := at[0], at[channels-1]
				r, g, b, _ := got.At(x, y).RGBA()
				require.Equal(t, [3]uint32{uint32(red), uint32(at[channels/2]), uint32(blue)},
					[3]uint32{r >> 8, g >> 8, b >> 8}, "%d, %d", x, y)
			}
		}
	}
}

func TestAPlainPictureThatIsTooLargeIsAJPEGOrNone(t *testing.T) {
	f := noisy(t, 64, 64, 3)
	whole, err := evidence.Plain(f, 1<<20)
	require.NoError(t, err)
	for _, limit := range []int{len(whole) - 1, 64 * 64} { // just, and so much that no PNG is tried
		b, failed := evidence.Plain(f, limit)
		if failed != nil {
			require.ErrorIs(t, failed, evidence.ErrFrame)
			continue
		}
		var format string
		_, format, err = image.DecodeConfig(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, "jpeg", format)
		require.LessOrEqual(t, len(b), limit)
	}
	_, err = evidence.Plain(f, 100)
	require.ErrorIs(t, err, evidence.ErrFrame)
	_, err = evidence.Plain(&frame.Frame{}, 100)
	require.ErrorIs(t, err, evidence.ErrFrame)
}
