package align

import (
	"math"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

const (
	// wholeReach, in quarters of the resolution, is how far the whole is searched for: 64 px.
	wholeReach = 16
	// homing is the cost of four pixels of distance, as a share of the pixels that differ by chance over two:
	// along straight traces, the nearest of places that look much the same is taken.
	homing = 0.005
	// tileReach, at half the resolution, is how far from the whole each tile is: 10 px.
	tileReach = 5
	// fineReach is how far around that, in pixels.
	fineReach = 3
	// localReach is how far, in pixels, a tile may move from the affine fit.
	localReach = 2.5
	// stiff is the cost, as a share of a tile's pixels, of moving a pixel from the affine fit.
	stiff = 0.004
	// maxShift keeps every window within the planes' margins.
	maxShift = 88
)

// search counts differing pixels of a window at all shifts around one.
type search struct {
	scratch []uint64
	counts  [(2*wholeReach + 1) * (2*wholeReach + 1)]int32
	costs   [(2*fineReach + 1) * (2*fineReach + 1)]float64
}

// newSearch makes room for a window as large as the whole at a quarter of the resolution, and for a tile.
func newSearch(whole *plane.Plane) search {
	largest := plane.Search{Window: all(whole), Reach: wholeReach}
	tile := plane.Search{Window: plane.Window{Words: tileWords, Rows: tileSide}, Reach: wholeReach}
	return search{scratch: make([]uint64, max(largest.Scratch(), tile.Scratch()))}
}

// all is a window as large as its plane.
func all(p *plane.Plane) plane.Window {
	return plane.Window{Words: p.Words, Rows: p.Height, Mask: p.LastMask()}
}

// around fills counts by dy, dx from -reach to reach around the shift (dx, dy): board pixel (x, y) against
// template pixel (x+dx, y+dy). It returns the place of the least, of equal ones the nearest to the middle.
func (s *search) around(board, template *plane.Plane, w plane.Window, dx, dy, reach int) (bestX, bestY int) {
	at := plane.Search{Window: w, DX: dx, DY: dy, Reach: reach}
	at.Around(s.counts[:], board, template, s.scratch)
	side := 2*reach + 1
	least, nearest := int32(math.MaxInt32), 0
	for i := range side {
		for j := range side {
			n := s.counts[j*side+i]
			away := (i-reach)*(i-reach) + (j-reach)*(j-reach)
			if n < least || n == least && away < nearest {
				least, nearest, bestX, bestY = n, away, i, j
			}
		}
	}
	return bestX, bestY
}

// whole finds the shift of the whole board, in pixels.
func (a *Aligner) whole() (dx, dy int) {
	p := a.quart
	s := &a.search
	s.around(p, a.golden.quarter, all(p), 0, 0, wholeReach)
	const side = 2*wholeReach + 1
	least := math.Inf(1)
	far := homing * a.golden.copper * (1 - a.golden.copper) * float64(p.Width*p.Height)
	for k, n := range s.counts[:side*side] {
		x, y := k%side-wholeReach, k/side-wholeReach
		if cost := float64(n) + far*math.Hypot(float64(x), float64(y)); cost < least {
			least, dx, dy = cost, 4*x, 4*y
		}
	}
	return dx, dy
}

// seek sets the tile's own best shift near that of the whole, and how sharply it says so.
func (a *Aligner) seek(t *tile, gx, gy int) {
	s := &a.search
	x, y := s.around(a.half, a.golden.half, t.half, gx/2, gy/2, tileReach)
	gx, gy = bounded(gx+2*(x-tileReach)), bounded(gy+2*(y-tileReach))
	x, y = s.around(a.board, a.golden.base, t.full, gx, gy, fineReach)
	x, y = min(max(x, 2), 2*fineReach-2), min(max(y, 2), 2*fineReach-2)
	t.dx, t.dy = float64(gx+x-fineReach), float64(gy+y-fineReach)
	at := func(i, j int) float64 { return float64(s.counts[(y+j)*(2*fineReach+1)+x+i]) / t.pixels }
	t.bend = curvature{
		xx: (at(2, 0) + at(-2, 0) - 2*at(0, 0)) / 4,
		yy: (at(0, 2) + at(0, -2) - 2*at(0, 0)) / 4,
		xy: (at(2, 2) + at(-2, -2) - at(2, -2) - at(-2, 2)) / 16,
	}.positive()
}

// settle sets the tile's best shift near the expected one, which it leaves only for a gain; between the
// pixels by the parabola through the neighbours.
func (a *Aligner) settle(t *tile, ex, ey float64) {
	s := &a.search
	ox, oy := bounded(int(math.Round(ex))), bounded(int(math.Round(ey)))
	s.around(a.board, a.golden.base, t.full, ox, oy, fineReach)
	const side = 2*fineReach + 1
	cost, best := s.costs[:], -1
	for k := range cost {
		x, y := float64(ox+k%side-fineReach)-ex, float64(oy+k/side-fineReach)-ey
		away := x*x + y*y
		cost[k] = float64(s.counts[k])/t.pixels + stiff*away
		inside := k%side > 0 && k%side < side-1 && k/side > 0 && k/side < side-1
		if inside && away <= localReach*localReach && (best < 0 || cost[k] < cost[best]) {
			best = k
		}
	}
	if best < 0 { // only when the fit lies beyond what a window may
		t.dx, t.dy = float64(ox), float64(oy)
		return
	}
	t.dx = float64(ox+best%side-fineReach) + vertex(cost[best-1], cost[best], cost[best+1])
	t.dy = float64(oy+best/side-fineReach) + vertex(cost[best-side], cost[best], cost[best+side])
}

// vertex is the offset of a parabola's lowest point from its middle sample, -0.5 to 0.5.
func vertex(before, at, after float64) float64 {
	bend := before + after - 2*at
	if bend <= 0 {
		return 0
	}
	return min(max((before-after)/(2*bend), -0.5), 0.5)
}

func bounded(shift int) int { return min(max(shift, -maxShift+fineReach), maxShift-fineReach) }
