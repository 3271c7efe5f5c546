package compare

import "github.com/sightline-edge/sightline/agent/internal/worker/align/plane"

// spreader does morphology on planes.
type spreader struct{ wide *plane.Plane }

func newSpreader(width, height int) spreader { return spreader{wide: plane.New(width, height)} }

// spread sets in dst all that lies within reach columns and rows of what is set in src, or with inverse of
// what is not. Outside of the image nothing is set either way. Bits beyond a row's end mean nothing.
func (s *spreader) spread(dst, src *plane.Plane, reach int, inverse bool) {
	for y := range src.Height {
		widen(s.wide.Row(y), src.Row(y), reach, inverse, src.LastMask())
	}
	for y := range src.Height {
		to := dst.Row(y)
		copy(to, s.wide.Row(y))
		for k := 1; k <= reach; k++ {
			above, below := s.wide.Row(max(y-k, 0)), s.wide.Row(min(y+k, src.Height-1))
			for i := range to {
				to[i] |= above[i] | below[i]
			}
		}
	}
}

// widen spreads a row sideways.
func widen(dst, src []uint64, reach int, inverse bool, last uint64) {
	var flip uint64
	if inverse {
		flip = ^flip
	}
	end := len(src) - 1
	var before uint64
	at := src[0] ^ flip
	for i := range src {
		var next uint64
		if i < end {
			next = src[i+1] ^ flip
		} else {
			at &= last
		}
		if i == end-1 {
			next &= last
		}
		out := at
		if before|at|next != 0 && ^at != 0 {
			for k := 1; k <= reach; k++ {
				up, down := uint(k)&(plane.Word-1), uint(plane.Word-k)&(plane.Word-1)
				out |= at<<up | before>>down | at>>up | next<<down
			}
		}
		dst[i] = out
		before, at = at, next
	}
}

// open clears all of p that no square of 2×2 pixels within p covers, but what is set in keep.
func (s *spreader) open(p, keep *plane.Plane) {
	for y := range p.Height {
		to := s.wide.Row(y)
		if y == p.Height-1 {
			clear(to)
			break
		}
		upper, lower := p.Row(y), p.Row(y+1)
		for i := range to {
			both := upper[i] & lower[i]
			if both == 0 {
				to[i] = 0
				continue
			}
			var next uint64
			if i+1 < len(to) {
				next = upper[i+1] & lower[i+1]
			}
			to[i] = both & (both>>1 | next<<(plane.Word-1))
		}
	}
	for y := range p.Height {
		to, kept := p.Row(y), keep.Row(y)
		corners, above := s.wide.Row(y), s.wide.Row(max(y-1, 0))
		var before uint64
		for i := range to {
			at := corners[i] | above[i]
			to[i] = at | at<<1 | before>>(plane.Word-1) | kept[i]
			before = at
		}
	}
}
