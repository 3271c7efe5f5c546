// Package align moves a golden template onto an inspected board: a shift of the whole, an affine fit to what
// tiles of the board say, and a little more where a tile insists. It works on bits, and the steady state
// allocates nothing.
package align

import (
	"math"

	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
)

// MaxMismatch is the bound above which a template does not belong to the board, or lies beyond reach. The
// 1,000 pairs of DeepPCB, each with its defects, have up to 0.165: the median 0.026, 99 of 100 below 0.077;
// the highest are nearly bare boards, where defects are much of the copper. Of 1,336 wrong pairs (neighbours
// on the panel, other products, boards turned or shifted out of reach) those that seemed to lie within
// MaxShift had 0.24 (a nearly bare board), 0.42 or more, the median 0.98, but for two: boards of nothing but
// straight traces, moved along these.
const MaxMismatch = 0.2

// MaxShift is how far, in pixels, a board may lie from its template. The search goes to 64 px, so that a
// board out of reach is seen to be, and does not pass as the nearest thing that looks like it.
const MaxShift = 24

const (
	unseenShare  = 0.03
	unseenPixels = 10
)

// MaxUnseen is the largest share of a board of that size, in pixels, that its template may leave uncovered at
// the border: there a comparison sees nothing, and a model nothing but the board. It is 3 %, and of a small
// board as much as a shift of 10 px both ways leaves: of 640×640 px a strip of 19 px. Of the 1,000 pairs of
// DeepPCB, of that size, three leave more than 2 %, the most 2.9 %, and half of them less than 0.2 %.
func MaxUnseen(width, height int) float64 {
	return max(unseenShare, 1-(1-unseenPixels/float64(width))*(1-unseenPixels/float64(height)))
}

// leastChance keeps a defect on a nearly bare board from looking like a stranger: so few pixels of 100 differ
// by chance where the copper is about one of 100. Some of DeepPCB's templates have none at all.
const leastChance = 0.02

// Fit says how well the template fits the board.
type Fit struct {
	// ShiftX and ShiftY, in pixels, are where the board's middle lies in the template, less the middle.
	ShiftX, ShiftY float64
	// Unseen is the share of the board's pixels that lie beyond the template's border, 0 to 1: the moved
	// template is there as the board is, since nothing says what should be.
	Unseen float64
	// Residual is the share of the other pixels that differ after the fit, 0 to 1.
	Residual float64
	// Mismatch is Residual over what two unrelated images of the same amounts of copper would have: 0 for
	// equal ones, about 1 for strangers, 1 for a blank board. Where there is next to no copper, over
	// leastChance; in a window of a sheet, over half of what strangers would have on all of it.
	Mismatch float64
	// Spread is the largest distance, in pixels, of a tile from the affine fit.
	Spread float64
}

// Aligned tells a fit to go on from, if Unseen is at most MaxUnseen. Of any other nothing can be said about
// the board.
func (f Fit) Aligned() bool {
	return f.Mismatch <= MaxMismatch && max(math.Abs(f.ShiftX), math.Abs(f.ShiftY)) <= MaxShift
}

// Aligner moves one template onto boards. Not safe for concurrent use.
type Aligner struct {
	golden *Golden
	board  *plane.Plane
	half   *plane.Plane
	quart  *plane.Plane
	moved  *plane.Plane
	grid   grid
	search search
	mesh   mesh
}

// New makes an Aligner for boards of the template's size.
func New(g *Golden) *Aligner {
	a := &Aligner{
		golden: g,
		board:  plane.New(g.width, g.height),
		half:   plane.New(g.half.Width, g.half.Height),
		quart:  plane.New(g.quarter.Width, g.quarter.Height),
		moved:  plane.New(g.width, g.height),
		grid:   newGrid(g.width, g.height),
	}
	a.search = newSearch(a.quart)
	a.mesh = newMesh(&a.grid, g.width)
	return a
}

// Align writes the template as it lies on the board to dst. Both are [height*width] bytes of 0 or 255; they
// must have that length and not be the same. Any board gets a fit: ask Fit.Aligned whether to use it.
func (a *Aligner) Align(dst, board []byte) Fit {
	a.board.Pack(board)
	a.board.Halve(a.half)
	a.half.Halve(a.quart)
	gx, gy := a.whole()
	for i := range a.grid.tiles {
		a.seek(&a.grid.tiles[i], gx, gy)
	}
	model := a.grid.affine()
	spread := 0.0
	for i := range a.grid.tiles {
		t := &a.grid.tiles[i]
		ex, ey := model.at(t.x, t.y)
		a.settle(t, ex, ey)
		spread = max(spread, math.Hypot(t.dx-ex, t.dy-ey))
	}
	unseen := a.mesh.warp(a.moved, a.board, a.golden, &a.grid)
	a.moved.Unpack(dst)
	fit := Fit{Spread: spread, Unseen: float64(unseen) / float64(len(board))}
	fit.ShiftX, fit.ShiftY = model.at(float64(a.board.Width)/2, float64(a.board.Height)/2)
	fit.Residual, fit.Mismatch = a.differ(unseen)
	return fit
}

// differ compares board and moved template. Chance is Cohen's: two images with copper shares p and q that are
// unrelated otherwise differ in p(1-q) + q(1-p) of their pixels.
func (a *Aligner) differ(unseen int) (residual, mismatch float64) {
	pixels := float64(a.board.Width * a.board.Height)
	residual = float64(a.board.Differing(a.moved)) / max(pixels-float64(unseen), 1)
	p, q := a.golden.copper, float64(a.board.Count())/pixels
	return residual, residual / max(p*(1-q)+q*(1-p), a.golden.leastChance)
}
