package camera

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

func TestStaleNeedsAllPixelsToRepeat(t *testing.T) {
	var f frame.Frame
	defer f.Release()
	require.NoError(t, f.Shape(1920, 1080, 3))
	s := newStale(3)
	for i := range 20 {
		f.Pix[5000] = byte(i) // lies between the sampled stripes
		require.False(t, s.seen(&f), "picture %d", i)
	}
	require.False(t, s.seen(&f))
	require.True(t, s.seen(&f), "the third of its kind")
	require.True(t, s.seen(&f))
	f.Pix[0]++
	require.False(t, s.seen(&f))
}

func TestStaleSeesOneGreyLevelOfOnePixel(t *testing.T) {
	var f frame.Frame
	defer f.Release()
	require.NoError(t, f.Shape(64, 64, 1))
	s := newStale(3)
	for i := range 20 {
		f.Pix[(i*211)%len(f.Pix)]++
		require.False(t, s.seen(&f))
	}
}

func TestStaleCanBeTurnedOff(t *testing.T) {
	var f frame.Frame
	defer f.Release()
	require.NoError(t, f.Shape(64, 64, 1))
	s := newStale(-1)
	for range 10 {
		require.False(t, s.seen(&f))
	}
}

func TestPictureOfAnotherShapeIsNoRepetition(t *testing.T) {
	var f frame.Frame
	defer f.Release()
	s := newStale(2)
	require.NoError(t, f.Shape(64, 32, 1))
	require.False(t, s.seen(&f))
	require.NoError(t, f.Shape(32, 64, 1))
	require.False(t, s.seen(&f))
	require.True(t, s.seen(&f))
}

func BenchmarkStale1080p(b *testing.B) {
	var f frame.Frame
	defer f.Release()
	require.NoError(b, f.Shape(1920, 1080, 3))
	s := newStale(3)
	for i := 0; b.Loop(); i++ {
		f.Pix[0] = byte(i)
		if s.seen(&f) {
			b.Fatal("not stale")
		}
	}
}
