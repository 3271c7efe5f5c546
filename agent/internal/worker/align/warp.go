package align

import (
	"math/bits"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

// chunk is the pixels of a row that are moved as one. With a stretch of 3 px in 320 its ends are off by less
// than a tenth of a pixel.
const chunk = 16

// mesh moves the template: between the middles of the tiles displacements are interpolated linearly, beyond
// the outer ones they stay.
type mesh struct {
	left   []int     // by chunk: the column of tiles to its left
	weight []float32 // and the weight of the next one
	dx, dy []float32 // of the row at hand, by column of tiles
}

func newMesh(g *grid, width int) mesh {
	m := mesh{dx: make([]float32, g.columns+1), dy: make([]float32, g.columns+1)}
	for x := 0; x < width; x += chunk {
		k, w := between(float64(x)+chunk/2, g.columns, func(i int) float64 { return g.tiles[i].x })
		m.left, m.weight = append(m.left, k), append(m.weight, w)
	}
	return m
}

// between finds a place among n ascending ones: the last at or before it and the weight of the next.
func between(at float64, n int, place func(int) float64) (k int, weight float32) {
	for k+1 < n && place(k+1) <= at {
		k++
	}
	if k+1 == n {
		return k, 0
	}
	w := (at - place(k)) / (place(k+1) - place(k))
	return k, float32(min(max(w, 0), 1))
}

// warp puts the moved template together. Where it does not reach, dst is as the board; it returns how many
// pixels these are.
func (m *mesh) warp(dst, board *plane.Plane, g *Golden, tiles *grid) (unseen int) {
	for y := range dst.Height {
		m.line(tiles, y)
		row, like := dst.Row(y), board.Row(y)
		clear(row)
		for i, k := range m.left {
			w := m.weight[i]
			dx := m.dx[k] + w*(m.dx[k+1]-m.dx[k])
			dy := m.dy[k] + w*(m.dy[k+1]-m.dy[k])
			// Rounded to a phase; maxShift makes both positive.
			qx := int(dx*phases+(maxShift*phases+0.5)) - maxShift*phases
			qy := int(dy*phases+(maxShift*phases+0.5)) - maxShift*phases
			p := g.moved[qy&(phases-1)*phases+qx&(phases-1)]
			at, from := i*chunk+qx>>phaseBits, y+qy>>phaseBits
			seen := shown(at, dst.Width)
			if from < 0 || from >= dst.Height {
				seen, from = 0, min(max(from, 0), dst.Height-1)
			}
			word, bit := i*chunk/plane.Word, i*chunk%plane.Word
			there := p.plane.Bits(at+p.right, min(from+p.down, dst.Height-1))
			row[word] |= (there&seen | like[word]>>bit&(1<<chunk-1)&^seen) << bit
			if seen != 1<<chunk-1 {
				unseen += bits.OnesCount64(^seen & shown(i*chunk, dst.Width))
			}
		}
		row[len(row)-1] &= dst.LastMask()
	}
	return unseen
}

// shown has the bits of a chunk that lie in a row of so many pixels, when the chunk begins at one of them or
// outside.
func shown(at, width int) uint64 {
	seen := uint64(1<<chunk - 1)
	if at < 0 {
		seen = seen << min(-at, chunk) & (1<<chunk - 1)
	}
	if over := at + chunk - width; over > 0 {
		seen &= (1<<chunk - 1) >> min(over, chunk)
	}
	return seen
}

// line interpolates the displacements of row y at the columns of tiles.
func (m *mesh) line(g *grid, y int) {
	k, w := between(float64(y)+0.5, g.rows, func(i int) float64 { return g.tiles[i*g.columns].y })
	upper := g.tiles[k*g.columns:][:g.columns]
	lower := upper
	if k+1 < g.rows {
		lower = g.tiles[(k+1)*g.columns:][:g.columns]
	}
	for i := range upper {
		u, l := &upper[i], &lower[i]
		m.dx[i] = float32(u.dx) + w*float32(l.dx-u.dx)
		m.dy[i] = float32(u.dy) + w*float32(l.dy-u.dy)
	}
	m.dx[g.columns], m.dy[g.columns] = m.dx[g.columns-1], m.dy[g.columns-1]
}
