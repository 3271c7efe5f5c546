package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// bench is a frame with two traces of 12 pixels, 20 pixels apart, and a pour.
func bench() *flaws {
	const w, h = 256, 256
	dst := make([]byte, w*h)
	for i := range dst {
		y := i / w
		if dst[i] = boardValue; (y >= 40 && y < 52) || (y >= 72 && y < 84) || y >= 160 {
			dst[i] = copperValue
		}
	}
	var f flaws
	f.begin(dst, w, h, stream(4, 4, 4))
	return &f
}

func TestEachClassDoesToTheCopperWhatItsNameSays(t *testing.T) {
	cases := map[string]struct {
		class int
		check func(t *testing.T, f *flaws, before []byte)
	}{
		"open": {classOpen, func(t *testing.T, f *flaws, _ []byte) {
			t.Helper()
			top := f.changed.y0 < 60
			y := map[bool]int{true: 46, false: 78}[top]
			require.False(t, f.connected(f.changed.x0-12, y, f.changed.x1+12, y))
		}},
		"short": {classShort, func(t *testing.T, f *flaws, _ []byte) {
			t.Helper()
			x := (f.changed.x0 + f.changed.x1) / 2
			require.True(t, f.connected(x, 46, x, 78))
		}},
		"mousebite": {classMousebite, onlyTurns(boardValue)},
		"spur":      {classSpur, onlyTurns(copperValue)},
		"copper":    {classCopper, onlyTurns(copperValue)},
		"pin-hole":  {classPinHole, onlyTurns(boardValue)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			drawn := 0
			for range 4000 {
				f := bench()
				f.r = stream(uint64(drawn), f.r.next(), uint64(tc.class))
				before := append([]byte(nil), f.dst...)
				for !f.try(tc.class) {
					require.Equal(t, before, f.dst, "a try that failed left its traces")
				}
				tc.check(t, f, before)
				drawn++
				if drawn == 60 {
					return
				}
			}
		})
	}
}

// onlyTurns checks that all that changed is of one value now, and that no trace was cut or joined.
func onlyTurns(value byte) func(t *testing.T, f *flaws, before []byte) {
	return func(t *testing.T, f *flaws, before []byte) {
		t.Helper()
		for i, v := range f.dst {
			if v != before[i] {
				require.Equal(t, value, v)
			}
		}
		x := (f.changed.x0 + f.changed.x1) / 2
		require.False(t, f.connected(x, 46, x, 78) && f.value(x, 62) == copperValue)
		left, right := f.changed.x0-2, f.changed.x1+2
		for _, y := range []int{41, 73} {
			along := func(y int) bool { return f.connected(left, y, right, y) }
			require.True(t, along(y) || along(y+9))
		}
	}
}

func TestARevertedDefectLeavesTheFrameAsItWas(t *testing.T) {
	f := bench()
	before := append([]byte(nil), f.dst...)
	for class := range classCount {
		for !f.try(class) {
			continue
		}
		require.NotEqual(t, before, f.dst)
		f.revert()
		require.Equal(t, before, f.dst)
	}
}
