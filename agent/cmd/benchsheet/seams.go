package main

import (
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// seams are where tiles end within the sheet.
type seams struct{ xs, ys map[int]bool }

func newSeams(o sim.Options, r *report) (seams, error) {
	s := seams{map[int]bool{}, map[int]bool{}}
	p, err := tiles.NewPlan(o.Width, o.Height, r.Tile[0], r.Tile[1], r.Overlap)
	if err != nil {
		return s, err
	}
	for i := range p.Len() {
		t := p.Tile(i)
		s.xs[t.X], s.xs[t.X+t.Width] = true, true
		s.ys[t.Y], s.ys[t.Y+t.Height] = true, true
	}
	return s, nil
}

// cut says whether a seam goes through the box.
func (s seams) cut(box [4]float32) bool {
	return crosses(s.xs, box[0], box[2]) || crosses(s.ys, box[1], box[3])
}

func crosses(at map[int]bool, low, high float32) bool {
	for v := int(low) + 1; v < int(high); v++ {
		if at[v] {
			return true
		}
	}
	return false
}
