package tiles

import (
	"cmp"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

// slack is what a box's side may be off by, in pixels: a box that ends so close to its tile's edge may go on
// beyond it.
const slack = 2

// box is x1, y1, x2, y2 in sheet pixels, as in detect.Detection: axis k lies in box[k] and box[k+2].
type box = [4]float32

// part is what one tile shows of a defect: all of it, or a piece.
type part struct {
	box   box
	score float32
	class int
	tile  int
}

// worth orders best first; no two parts that differ are equal, so that no result depends on the order of
// arrival.
func worth(a, b *part) int {
	if c := cmp.Compare(b.score, a.score); c != 0 {
		return c
	}
	if c := cmp.Compare(a.class, b.class); c != 0 {
		return c
	}
	if c := cmp.Compare(a.tile, b.tile); c != 0 {
		return c
	}
	return slices.Compare(a.box[:], b.box[:])
}

// sink restores a heap with its worst part on top, below place i.
func sink(heap []part, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && worth(&heap[child+1], &heap[child]) > 0 {
			child++
		}
		if worth(&heap[child], &heap[i]) <= 0 {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

func (r Rect) box() box {
	return box{float32(r.X), float32(r.Y), float32(r.X + r.Width), float32(r.Y + r.Height)}
}

// sides are those of a box, in its order: left, top, right, bottom.
type sides [4]bool

// seams are the edges of a tile that are not the sheet's.
func (p *Plan) seams(tile int) sides {
	column, row := tile%len(p.xs), tile/len(p.xs)
	return sides{column > 0, row > 0, column < len(p.xs)-1, row < len(p.ys)-1}
}

// gap is the distance from a box's side to the same side of the tile around it.
func gap(b, tile box, side int) float32 {
	if side < 2 {
		return b[side] - tile[side]
	}
	return tile[side] - b[side]
}

// ends says at which of a tile's seams a box ends, so that it may be a piece of something longer.
func ends(b, tile box, seams sides) (at sides) {
	for side := range at {
		at[side] = seams[side] && gap(b, tile, side) <= slack
	}
	return at
}

func clip(b, to box) box {
	return box{max(b[0], to[0]), max(b[1], to[1]), min(b[2], to[2]), min(b[3], to[3])}
}

func union(a, b box) box {
	return box{min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])}
}

func empty(b box) bool { return !(b[0] < b[2] && b[1] < b[3]) }

// covered is the share of b that lies in a.
func covered(b, a box) float32 {
	both := clip(b, a)
	if empty(both) {
		return 0
	}
	return (both[2] - both[0]) * (both[3] - both[1]) / ((b[2] - b[0]) * (b[3] - b[1]))
}

func better(a, b detect.Detection) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Class, b.Class); c != 0 {
		return c
	}
	return slices.Compare(a.Box[:], b.Box[:])
}
