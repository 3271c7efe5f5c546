// Package tiles inspects sheets that are larger than a model's input: it lays overlapping tiles over a sheet
// and merges what was found in them, so that a defect on a seam is one detection, whole.
package tiles

import (
	"errors"
	"fmt"
)

const (
	maxSide  = 1 << 16
	maxTiles = 1 << 16
	// minOverlap: in less, a piece of a defect is hardly wider than the error of a box.
	minOverlap = 8
)

// ErrPlan is wrapped by errors about a sheet that cannot be covered as asked.
var ErrPlan = errors.New("no plan of tiles")

// Rect is a part of the sheet, in its pixels.
type Rect struct{ X, Y, Width, Height int }

// Plan is a grid of tiles, row by row. Read only: safe for concurrent use.
type Plan struct {
	xs, ys        []int // where columns and rows start
	width, height int   // of each tile
}

// NewPlan covers a sheet with tiles of one size. They lie inside the sheet, evenly spread, so neighbours
// overlap by `overlap` px or more: a defect of at most that size is seen whole by one of them. Where the
// sheet is smaller than a tile there is one tile of the sheet's size, and the rest of the model's input is
// padding. Errors wrap ErrPlan.
func NewPlan(width, height, tileWidth, tileHeight, overlap int) (*Plan, error) {
	for _, side := range []struct {
		name   string
		pixels int
	}{
		{"the sheet is %d px wide", width},
		{"the sheet is %d px high", height},
		{"tiles are %d px wide", tileWidth},
		{"tiles are %d px high", tileHeight},
	} {
		if side.pixels < 1 || side.pixels > maxSide {
			return nil, fmt.Errorf("%w: "+side.name+"; it takes 1 to %d", ErrPlan, side.pixels, maxSide)
		}
	}
	columns, err := count(width, tileWidth, overlap)
	if err != nil {
		return nil, err
	}
	rows, err := count(height, tileHeight, overlap)
	if err != nil {
		return nil, err
	}
	if columns*rows > maxTiles {
		return nil, fmt.Errorf("%w: %d×%d tiles, at most %d; take larger tiles or less overlap",
			ErrPlan, columns, rows, maxTiles)
	}
	p := &Plan{width: min(width, tileWidth), height: min(height, tileHeight)}
	p.xs, p.ys = spread(width-p.width, columns), spread(height-p.height, rows)
	return p, nil
}

// count is the number of tiles along one side. With an overlap of at most half a tile a place lies in a few
// tiles only, which bounds the work of merging.
func count(side, tile, overlap int) (int, error) {
	if side <= tile {
		return 1, nil
	}
	if overlap < minOverlap {
		return 0, fmt.Errorf("%w: an overlap of %d px; take %d or more, best the longest side of a defect",
			ErrPlan, overlap, minOverlap)
	}
	if overlap > tile/2 {
		return 0, fmt.Errorf("%w: an overlap of %d px in tiles of %d; take at most half a tile",
			ErrPlan, overlap, tile)
	}
	step := tile - overlap
	return (side-tile+step-1)/step + 1, nil
}

// spread puts n starts evenly from 0 to last.
func spread(last, n int) []int {
	starts := make([]int, n)
	for i := 1; i < n; i++ {
		starts[i] = last * i / (n - 1)
	}
	return starts
}

// Len is the number of tiles.
func (p *Plan) Len() int { return len(p.xs) * len(p.ys) }

// Columns is the number of tiles in a row.
func (p *Plan) Columns() int { return len(p.xs) }

// Tile is the place of tile i, 0 ≤ i < Len.
func (p *Plan) Tile(i int) Rect {
	columns := len(p.xs)
	return Rect{p.xs[i%columns], p.ys[i/columns], p.width, p.height}
}

// neighbours appends the tiles that overlap tile i, but for itself, ascending.
func (p *Plan) neighbours(i int, to []int) []int {
	columns := len(p.xs)
	left, right := reach(p.xs, i%columns, p.width)
	top, bottom := reach(p.ys, i/columns, p.height)
	for row := top; row <= bottom; row++ {
		for column := left; column <= right; column++ {
			if j := row*columns + column; j != i {
				to = append(to, j)
			}
		}
	}
	return to
}

// reach is the first and the last of the starts whose tile overlaps that of start i.
func reach(starts []int, i, length int) (first, last int) {
	first, last = i, i
	for first > 0 && starts[first-1]+length > starts[i] {
		first--
	}
	for last+1 < len(starts) && starts[last+1] < starts[i]+length {
		last++
	}
	return first, last
}
