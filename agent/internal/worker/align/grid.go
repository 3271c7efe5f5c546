package align

import (
	"math"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

const (
	tileWords = 2
	tileSide  = tileWords * plane.Word
)

// tile is a part of the board with a shift of its own.
type tile struct {
	full, half plane.Window
	x, y       float64 // middle, in pixels
	pixels     float64
	dx, dy     float64 // where it lies in the template, less where it lies on the board, in pixels
	bend       curvature
}

// grid covers the board evenly with tiles of 128 px, by rows.
type grid struct {
	columns, rows int
	tiles         []tile
}

func newGrid(width, height int) grid {
	words := (width + plane.Word - 1) / plane.Word
	xs, ys := starts(words, tileWords), starts(height, tileSide)
	g := grid{columns: len(xs), rows: len(ys)}
	for _, y := range ys {
		for _, x := range xs {
			g.tiles = append(g.tiles, newTile(x, y, width, height))
		}
	}
	return g
}

func newTile(word, y, width, height int) tile {
	x := word * plane.Word
	w, h := min(tileSide, width-x), min(tileSide, height-y)
	t := tile{x: float64(x) + float64(w)/2, y: float64(y) + float64(h)/2, pixels: float64(w * h)}
	t.full = cut(x, y, w, h)
	t.half = cut(x/2, (y+1)/2, (w+1)/2, h/2)
	return t
}

func cut(x, y, width, height int) plane.Window {
	words := (width + plane.Word - 1) / plane.Word
	last := ^uint64(0) >> (-width & (plane.Word - 1))
	return plane.Window{X: x, Y: y, Words: words, Rows: height, Mask: last}
}

// starts of pieces that cover a length evenly.
func starts(length, piece int) []int {
	if length <= piece {
		return []int{0}
	}
	count := (length + piece - 1) / piece
	at := make([]int, count)
	for k := range at {
		at[k] = (2*k*(length-piece) + count - 1) / (2 * (count - 1))
	}
	return at
}

// curvature of a cost over shifts, a symmetric matrix.
type curvature struct{ xx, xy, yy float64 }

// positive is the nearest matrix without a negative eigenvalue.
func (c curvature) positive() curvature {
	mean, half := (c.xx+c.yy)/2, (c.xx-c.yy)/2
	root := math.Hypot(half, c.xy)
	high, low := mean+root, mean-root
	switch {
	case low >= 0:
		return c
	case high <= 0:
		return curvature{}
	}
	// Only the larger eigenvalue stays: (c - low·1) projects on its vector.
	k := high / (high - low)
	return curvature{xx: (c.xx - low) * k, xy: c.xy * k, yy: (c.yy - low) * k}
}
