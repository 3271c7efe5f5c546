package align

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

// speckle is black and white without any structure: all sixteen neighbourhoods of a pixel occur.
func speckle(width, height int) []byte {
	r := rand.New(rand.NewPCG(3, uint64(width)))
	pixels := make([]byte, width*height)
	for i := range pixels {
		pixels[i] = byte(r.IntN(2)) * 255
	}
	return pixels
}

// set reads a pixel of a phase, where it is read at the right border or below it the last one repeats.
func (p phase) set(x, y int) bool {
	return p.plane.Bits(x+p.right, min(y+p.down, p.plane.Height-1))&1 == 1
}

func TestPhasesAreTheTemplateInterpolatedBetweenPixels(t *testing.T) {
	for _, s := range [][2]int{{64, 64}, {65, 70}, {130, 67}} {
		width, height := s[0], s[1]
		pixels := speckle(width, height)
		g, err := NewGolden(pixels, width, height)
		require.NoError(t, err)
		bare := func(x, y int) int {
			return int(pixels[min(y, height-1)*width+min(x, width-1)]) / 255
		}
		for i := range g.moved {
			right, down := i%phases, i/phases
			t.Run(fmt.Sprintf("%dx%d right %d down %d", width, height, right, down), func(t *testing.T) {
				for y := range height {
					for x := range width {
						sixteenths := (phases-down)*((phases-right)*bare(x, y)+right*bare(x+1, y)) +
							down*((phases-right)*bare(x, y+1)+right*bare(x+1, y+1))
						want := sixteenths < phases*phases/2
						require.Equal(t, want, g.moved[i].set(x, y), "at %d, %d", x, y)
					}
				}
			})
		}
	}
}

func TestACutIsTheTemplateOfItsWindow(t *testing.T) {
	const width, height, side = 300, 200, 70
	pixels := speckle(width, height)
	whole := plane.New(width, height)
	whole.Pack(pixels)
	whole.Extend()
	cut, err := NewCut(side, side, 0)
	require.NoError(t, err)
	for _, at := range [][2]int{{0, 0}, {1, 0}, {63, 9}, {64, 130}, {width - side, height - side}} {
		window := make([]byte, 0, side*side)
		for y := range side {
			window = append(window, pixels[(at[1]+y)*width+at[0]:][:side]...)
		}
		want, bad := NewGolden(window, side, side)
		require.NoError(t, bad)
		cut.Cut(whole, at[0], at[1]) // what was in it before does not show
		require.Equal(t, want, cut)
	}
	_, err = NewCut(side, 63, 0.5)
	require.ErrorIs(t, err, ErrSize)
}
