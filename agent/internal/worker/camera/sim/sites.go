package sim

import "bytes"

// chord is a straight run of one medium: its first and last pixel, and the heading from one to the other.
type chord struct {
	x0, y0, x1, y1, heading int
	length                  int
}

const longestChord = 80

// narrowest is the shortest run of the medium through (x, y) in the four directions of a router; its length
// is longestChord where each is longer, or ends at the frame's edge.
func (f *flaws) narrowest(x, y int, medium byte) chord {
	best := chord{length: longestChord}
	for heading := range 4 {
		d := toward(heading)
		back, forth := f.run(x, y, -d.x, -d.y, medium), f.run(x, y, d.x, d.y, medium)
		if length := back + forth + 1; length < best.length {
			best = chord{
				x - d.x*back>>12, y - d.y*back>>12, x + d.x*forth>>12, y + d.y*forth>>12, heading, length,
			}
		}
	}
	return best
}

// run counts the steps from (x, y) that stay in the medium.
func (f *flaws) run(x, y, dx, dy int, medium byte) int {
	n := 0
	for ; n < longestChord; n++ {
		px, py := x+dx*(n+1)>>12, y+dy*(n+1)>>12
		if !f.inside(px, py) {
			return longestChord
		}
		if f.dst[py*f.w+px] != medium {
			break
		}
	}
	return n
}

// uniform says whether the square of the given reach around (x, y) lies in the frame and in one medium.
func (f *flaws) uniform(x, y, reach int, medium byte) bool {
	if !f.inside(x-reach, y-reach) || !f.inside(x+reach, y+reach) {
		return false
	}
	for j := y - reach; j <= y+reach; j++ {
		if bytes.IndexByte(f.dst[j*f.w+x-reach:j*f.w+x+reach+1], ^medium) >= 0 {
			return false
		}
	}
	return true
}

// surrounded says whether what changed, and clearance pixels around it, was all of one medium before.
func (f *flaws) surrounded(clearance int, medium byte) bool {
	if !f.measure() {
		return false
	}
	c := f.changed
	x0, x1 := c.x0-clearance-f.keptAt.x0, c.x1+clearance-f.keptAt.x0
	y0, y1 := c.y0-clearance-f.keptAt.y0, c.y1+clearance-f.keptAt.y0
	if x0 < 0 || y0 < 0 || x1 > f.keptAt.x1-f.keptAt.x0 || y1 > f.keptAt.y1-f.keptAt.y0 {
		return false
	}
	for y := y0; y < y1; y++ {
		if bytes.IndexByte(f.kept[y*side+x0:y*side+x1], ^medium) >= 0 {
			return false
		}
	}
	return true
}

// connected says whether two pixels are joined by copper within the window around them: what is joined
// elsewhere on the board is still two traces to whoever looks here.
func (f *flaws) connected(ax, ay, bx, by int) bool {
	if !f.inside(ax, ay) || !f.inside(bx, by) || f.value(ax, ay)|f.value(bx, by) != copperValue {
		return false
	}
	reach := max(ax-bx, bx-ax, ay-by, by-ay)/2 + 16
	mx, my := (ax+bx)/2, (ay+by)/2
	window := area{max(0, mx-reach), max(0, my-reach), min(mx+reach, f.w), min(my+reach, f.h)}
	f.stamp++
	f.queue = f.queue[:0]
	f.visit(ax, ay, window)
	for i := 0; i < len(f.queue); i++ {
		x, y := int(f.queue[i])%f.w, int(f.queue[i])/f.w
		if x == bx && y == by {
			return true
		}
		f.visit(x-1, y, window)
		f.visit(x+1, y, window)
		f.visit(x, y-1, window)
		f.visit(x, y+1, window)
	}
	return false
}

func (f *flaws) visit(x, y int, window area) {
	if x < window.x0 || y < window.y0 || x >= window.x1 || y >= window.y1 || f.dst[y*f.w+x] != copperValue {
		return
	}
	at := (y-window.y0)*side + x - window.x0
	if f.visited[at] != f.stamp {
		f.visited[at] = f.stamp
		f.queue = append(f.queue, int32(y*f.w+x))
	}
}
