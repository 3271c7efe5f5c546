package frame

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestShapeKeepsTheAddressOfOneSize(t *testing.T) {
	var f Frame
	defer f.Release()
	require.NoError(t, f.Shape(640, 480, 3))
	first := unsafe.Pointer(&f.Pix[0])
	require.Len(t, f.Pix, 640*480*3)
	require.Equal(t, 640*3, f.Stride)

	require.NoError(t, f.Shape(320, 240, 1))
	require.Len(t, f.Pix, 320*240)
	require.NoError(t, f.Shape(640, 480, 3))
	require.Equal(t, first, unsafe.Pointer(&f.Pix[0]))
}

func TestShapeGivesWritableMemoryThatIsZero(t *testing.T) {
	var f Frame
	defer f.Release()
	require.NoError(t, f.Shape(33, 7, 1)) // not whole pages
	require.Equal(t, make([]byte, 33*7), f.Pix)
	for i := range f.Pix {
		f.Pix[i] = byte(i)
	}
	require.NoError(t, f.Shape(1000, 1000, 3))
	f.Pix[len(f.Pix)-1] = 1
}

func TestShapeRefusesWhatIsNoPicture(t *testing.T) {
	huge := 1 << 40
	for _, s := range [][3]int{
		{0, 1, 1},
		{1, 0, 1},
		{1, 1, 0},
		{-1, 1, 1},
		{1, 1, 5},
		{65535, 65535, 3},
		{huge, huge, 3},
		{huge, 1, 1},
		{1, huge, 4},
	} {
		var f Frame
		require.Error(t, f.Shape(s[0], s[1], s[2]), "%v", s)
		require.Nil(t, f.Pix)
	}
}

func TestPoolLendsNoMoreThanItHas(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	a, b := p.Get(), p.Get()
	require.NotNil(t, a)
	require.NotNil(t, b)
	require.NotSame(t, a, b)
	require.Nil(t, p.Get())

	a.Truth = append(a.Truth, Truth{Class: 1})
	a.Release()
	<-p.Returned()
	again := p.Get()
	require.Same(t, a, again)
	require.Empty(t, again.Truth)
	again.Release()
	b.Release()
}

func TestReleasedTwicePanics(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	f := p.Get()
	f.Release()
	require.Panics(t, f.Release)
}

func TestClosedPoolUnmapsAtHomeAtOnceAndTheRestOnRelease(t *testing.T) {
	p := NewPool(2)
	home, out := p.Get(), p.Get()
	require.NoError(t, home.Shape(4000, 4000, 3))
	require.NoError(t, out.Shape(3000, 3000, 3))
	homeAt, outAt := address(home), address(out)
	require.True(t, mapped(t, homeAt))
	home.Release()

	p.Close()
	require.False(t, mapped(t, homeAt))
	out.Pix[0] = 7 // the frame that is out is still ours to write
	require.True(t, mapped(t, outAt))
	require.Nil(t, p.Get())
	out.Release()
	require.False(t, mapped(t, outAt))
}

func TestFrameWithoutPoolGivesItsMemoryBack(t *testing.T) {
	var f Frame
	require.NoError(t, f.Shape(4000, 4000, 3))
	at := address(&f)
	require.True(t, mapped(t, at))
	f.Release()
	require.Nil(t, f.Pix)
	require.False(t, mapped(t, at))
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	cycle := func() {
		f := p.Get()
		_ = f.Shape(640, 640, 1)
		f.Truth = append(f.Truth, Truth{Class: 2})
		f.Release()
	}
	cycle()
	require.Zero(t, testing.AllocsPerRun(1000, cycle))
}

func TestPoolIsSafeForConcurrentUse(t *testing.T) {
	p := NewPool(4)
	defer p.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				f := p.Get() // four users of four frames: there is always one
				if f == nil || f.Shape(16, 16, 1+i%3) != nil {
					t.Error("no frame")
					return
				}
				f.Pix[0]++
				f.Release()
			}
		})
	}
	wg.Wait()
}

func address(f *Frame) uint64 { return uint64(uintptr(unsafe.Pointer(&f.Pix[0]))) }

// mapped reports whether the process has memory at an address.
func mapped(t *testing.T, at uint64) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		from, to, _ := strings.Cut(strings.Fields(line)[0], "-")
		low, err := strconv.ParseUint(from, 16, 64)
		require.NoError(t, err)
		high, err := strconv.ParseUint(to, 16, 64)
		require.NoError(t, err)
		if low <= at && at < high {
			return true
		}
	}
	return false
}

func TestAShownPictureIsNotCopiedAndShapeReturnsToOwnMemory(t *testing.T) {
	var f Frame
	defer f.Release()
	require.NoError(t, f.Shape(4, 2, 1))
	own := &f.Pix[0]
	kept := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	require.NoError(t, f.Show(kept, 4, 2, 1))
	require.Same(t, &kept[0], &f.Pix[0])
	require.Error(t, f.Show(kept, 4, 3, 1))
	require.Error(t, f.Show(nil, 0, 0, 1))
	require.NoError(t, f.Shape(4, 2, 1))
	require.Same(t, own, &f.Pix[0])
	require.Equal(t, byte(1), kept[0])
}

func TestAPartIsARectangleInTheFramesMemory(t *testing.T) {
	f := &Frame{}
	require.NoError(t, f.Shape(7, 5, 3))
	t.Cleanup(f.Release)
	for i := range f.Pix {
		f.Pix[i] = byte(i)
	}
	p := f.Part(2, 1, 4, 3)
	require.Equal(t, [4]int{4, 3, 3, f.Stride}, [4]int{p.Width, p.Height, p.Channels, p.Stride})
	require.Len(t, p.Pix, 2*f.Stride+4*3, "nothing behind its last pixel")
	for y := range p.Height {
		require.Equal(t, f.Pix[(1+y)*f.Stride+2*3:][:4*3], p.Pix[y*p.Stride:][:4*3])
	}
	whole := f.Part(0, 0, 7, 5)
	require.Equal(t, f.Pix, whole.Pix)
	p.Release()
	require.Equal(t, byte(0), f.Pix[0], "the frame is not the part's to give back")
}
