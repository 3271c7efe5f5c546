//go:build cgo

package plane

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The kernel has several texts, one for each processor: this machine's must say what Go says.
func TestTheKernelCountsAsGoDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	planes := [2]*Plane{New(700, 90), New(700, 90)}
	for _, p := range planes {
		for i := range p.bits {
			p.bits[i] = r.Uint64()
		}
		p.Extend()
	}
	for range 200 {
		s := Search{
			Window: Window{Words: 1 + r.IntN(4), Rows: 1 + r.IntN(60), Mask: r.Uint64()},
			DX:     r.IntN(40) - 20, DY: r.IntN(200) - 100, Reach: r.IntN(9),
		}
		s.X, s.Y = r.IntN(700-Word*s.Words), r.IntN(90-s.Rows)
		side := 2*s.Reach + 1
		got, want := make([]int32, side*side), make([]int32, side*side)
		s.Around(got, planes[0], planes[1], make([]uint64, s.Scratch()))
		goAround(want, planes[0], planes[1], make([]uint64, s.Scratch()), &s)
		require.Equal(t, want, got, "%+v", s)
	}
}
