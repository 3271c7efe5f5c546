package compare

import (
	"math/bits"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

// maxRegions bounds the memory of a large sheet.
const maxRegions = 1 << 17

// region is a set of pixels that belong together, as long as it is its own parent.
type region struct {
	parent         int32
	x0, y0, x1, y1 int32 // of what differs, right and bottom exclusive
	area, core     int32 // pixels
}

// run is a piece of a row, right exclusive.
type run struct{ x0, x1, region int32 }

// regions labels runs row by row, joining those that touch, with a union-find.
type regions struct {
	all          []region
	above, below []run
}

// newRegions makes room for what can be told apart, and one more for all that is too much.
func newRegions(width, height int) regions {
	return regions{
		all:   make([]region, 0, min(width*height/plane.Word, maxRegions)+1),
		above: make([]run, 0, width/2+1),
		below: make([]run, 0, width/2+1),
	}
}

// overflow is the region that takes all new pieces when there is no room for more.
func overflow(room int) int { return room - 1 }

func (r *regions) reset() { r.all = r.all[:0] }

// add labels the connected pieces of near, corners touching, and counts what in them differs.
func (r *regions) add(near, differ, core *plane.Plane) {
	r.above = r.above[:0]
	for y := range near.Height {
		r.below = runs(r.below[:0], near.Row(y), near.LastMask())
		if len(r.below) == 0 {
			r.above = r.above[:0]
			continue
		}
		r.connect()
		d, c := differ.Row(y), core.Row(y)
		for _, piece := range r.below {
			r.all[r.root(piece.region)].take(piece, int32(y), d, c)
		}
		r.above, r.below = r.below, r.above
	}
}

// runs appends the runs of set bits of a row.
func runs(to []run, row []uint64, last uint64) []run {
	open := int32(-1)
	for i, w := range row {
		if i == len(row)-1 {
			w &= last
		}
		base := int32(i * plane.Word)
		if open >= 0 { // goes on from the word before
			end := int32(bits.TrailingZeros64(^w))
			if end == plane.Word {
				continue
			}
			to = append(to, run{x0: open, x1: base + end})
			open, w = -1, w&(w+1)
		}
		for w != 0 {
			start := int32(bits.TrailingZeros64(w))
			w |= 1<<start - 1
			end := int32(bits.TrailingZeros64(^w))
			if end == plane.Word {
				open = base + start
				break
			}
			to = append(to, run{x0: base + start, x1: base + end})
			w &= w + 1
		}
	}
	if open >= 0 {
		to = append(to, run{x0: open, x1: int32(len(row) * plane.Word)})
	}
	return to
}

// connect gives the runs below the regions of those that they touch above, or new ones.
func (r *regions) connect() {
	first := 0
	for i := range r.below {
		b := &r.below[i]
		b.region = -1
		for first < len(r.above) && r.above[first].x1 < b.x0 {
			first++
		}
		for k := first; k < len(r.above) && r.above[k].x0 <= b.x1; k++ {
			if root := r.root(r.above[k].region); b.region < 0 {
				b.region = root
			} else {
				b.region = r.join(b.region, root)
			}
		}
		if b.region < 0 {
			b.region = r.fresh()
		}
	}
}

func (r *regions) fresh() int32 {
	n := len(r.all)
	if n == cap(r.all) {
		return r.root(int32(overflow(n)))
	}
	r.all = append(r.all, region{parent: int32(n), x0: 1 << 30, y0: 1 << 30})
	return int32(n)
}

// root follows parents, halving the way.
func (r *regions) root(i int32) int32 {
	for r.all[i].parent != i {
		r.all[i].parent = r.all[r.all[i].parent].parent
		i = r.all[i].parent
	}
	return i
}

// join makes the later of two roots the other's parent, so that the last stays its own.
func (r *regions) join(a, b int32) int32 {
	if a == b {
		return a
	}
	a, b = max(a, b), min(a, b)
	from, to := &r.all[b], &r.all[a]
	from.parent = a
	to.x0, to.y0 = min(to.x0, from.x0), min(to.y0, from.y0)
	to.x1, to.y1 = max(to.x1, from.x1), max(to.y1, from.y1)
	to.area += from.area
	to.core += from.core
	return a
}

// take counts the pixels of a run that differ.
func (r *region) take(piece run, y int32, differ, core []uint64) {
	for i := piece.x0 / plane.Word; i <= (piece.x1-1)/plane.Word; i++ {
		base := i * plane.Word
		mask := ^uint64(0) << max(piece.x0-base, 0)
		if end := piece.x1 - base; end < plane.Word {
			mask &= 1<<end - 1
		}
		d := differ[i] & mask
		if d == 0 {
			continue
		}
		r.area += int32(bits.OnesCount64(d))
		r.core += int32(bits.OnesCount64(core[i] & mask))
		r.x0 = min(r.x0, base+int32(bits.TrailingZeros64(d)))
		r.x1 = max(r.x1, base+int32(bits.Len64(d)))
		r.y0, r.y1 = min(r.y0, y), max(r.y1, y+1)
	}
}
