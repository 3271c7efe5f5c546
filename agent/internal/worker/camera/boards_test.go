package camera

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

func TestBoardsCarryTheirTruthAndNumber(t *testing.T) {
	c, err := Start(t.Context(), "sim:?seed=3&clean=0&width=320&height=256", Options{})
	require.NoError(t, err)
	require.True(t, c.State().Simulated)
	require.False(t, c.State().Paced)
	for _, number := range []string{"0", "1", "2"} {
		f, err := c.Next(t.Context(), 0, in(10*time.Second))
		require.NoError(t, err)
		require.Equal(t, []int{320, 256, 1}, []int{f.Width, f.Height, f.Channels})
		require.Equal(t, number, f.Source)
		require.True(t, f.Simulated)
		require.NotEmpty(t, f.Truth)
		f.Release()
	}
	require.NoError(t, c.Close())
}

func TestBoardsKeptInMemoryAreTheSameOnes(t *testing.T) {
	drawn, err := openSource(parsed(t, "sim:?seed=5&clean=0.3&width=256&height=192"), Options{})
	require.NoError(t, err)
	kept, err := openSource(parsed(t, "sim:?seed=5&clean=0.3&width=256&height=192&prerender=4"), Options{})
	require.NoError(t, err)
	var a, b frame.Frame
	defer a.Release()
	defer b.Release()
	var first []byte
	for i := range 4 {
		require.NoError(t, drawn.Read(&a))
		require.NoError(t, kept.Read(&b))
		require.True(t, bytes.Equal(a.Pix, b.Pix), "board %d", i)
		require.Equal(t, len(a.Truth), len(b.Truth))
		require.Equal(t, append([]frame.Truth{}, a.Truth...), append([]frame.Truth{}, b.Truth...))
		require.Equal(t, a.Source, b.Source)
		if i == 0 {
			first = bytes.Clone(a.Pix)
		}
	}
	require.NoError(t, kept.Read(&b))
	require.True(t, bytes.Equal(first, b.Pix), "after the last the first comes again")
	require.Equal(t, "0", b.Source)
}

func TestKeptBoardsAllocateNothing(t *testing.T) {
	c, err := Start(t.Context(), "sim:?width=640&height=480&prerender=4", Options{})
	require.NoError(t, err)
	take := func() {
		f, err := c.Next(t.Context(), 0, in(10*time.Second))
		if err != nil {
			t.Error(err)
			return
		}
		f.Release()
	}
	for range 20 {
		take() // each frame of the pool gets its memory
	}
	require.Zero(t, testing.AllocsPerRun(200, take))
	require.NoError(t, c.Close())
}

func parsed(t *testing.T, uri string) spec {
	t.Helper()
	s, err := parse(uri)
	require.NoError(t, err)
	return s
}

func TestColourBoardsShowTheSameInThreeChannels(t *testing.T) {
	for _, kept := range []string{"", "&prerender=2"} {
		gray, err := openSource(parsed(t, "sim:?seed=5&width=256&height=192"), Options{})
		require.NoError(t, err)
		colour, err := openSource(parsed(t, "sim:?seed=5&width=256&height=192&color=true"+kept), Options{})
		require.NoError(t, err)
		pool := frame.NewPool(2)
		a, b := pool.Get(), pool.Get()
		require.NoError(t, gray.Read(a))
		require.NoError(t, colour.Read(b))
		require.Equal(t, 3, b.Channels)
		require.Equal(t, a.Truth, b.Truth)
		for i, v := range a.Pix {
			require.Equal(t, [3]byte{v, v, v}, [3]byte(b.Pix[3*i:3*i+3]))
		}
		a.Release()
		b.Release()
		pool.Close()
	}
}

func TestZoomEnlargesTheBoardAndItsTruth(t *testing.T) {
	small, err := openSource(parsed(t, "sim:?seed=5&clean=0&width=128&height=96"), Options{})
	require.NoError(t, err)
	const enlarged = "sim:?seed=5&clean=0&width=384&height=288&zoom=3&color=true"
	large, err := openSource(parsed(t, enlarged), Options{})
	require.NoError(t, err)
	var a, b frame.Frame
	defer a.Release()
	defer b.Release()
	require.NoError(t, small.Read(&a))
	require.NoError(t, large.Read(&b))
	require.Equal(t, []int{384, 288, 3}, []int{b.Width, b.Height, b.Channels})
	for y := range b.Height {
		for x := range b.Width {
			require.Equal(t, a.Pix[y/3*a.Stride+x/3], b.Pix[y*b.Stride+3*x+x%3])
		}
	}
	require.Len(t, b.Truth, len(a.Truth))
	for i := range a.Truth {
		for k, v := range a.Truth[i].Box {
			require.InDelta(t, 3*v, b.Truth[i].Box[k], 1e-3)
		}
	}
}

func TestASimulatedBoardComesWithItsTemplate(t *testing.T) {
	for _, options := range []string{"", "&prerender=2", "&color=true&zoom=2"} {
		boards, err := openSource(parsed(t, "sim:?seed=5&clean=0&defects=3&width=256&height=192&template=1"+
			options), Options{})
		require.NoError(t, err)
		f := &frame.Frame{}
		require.NoError(t, boards.Read(f))
		require.NotNil(t, f.Template)
		require.Equal(t, []int{f.Width, f.Height, f.Channels},
			[]int{f.Template.Width, f.Template.Height, f.Template.Channels})
		differ := 0
		for i := range f.Pix {
			if (f.Pix[i] > 127) != (f.Template.Pix[i] > 127) {
				differ++
			}
		}
		require.Positive(t, differ)
		require.Less(t, float64(differ), 0.1*float64(len(f.Pix)))
		f.Release()
	}
}
