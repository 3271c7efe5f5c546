package sim

// Class indexes, in the order of Classes.
const (
	classOpen = iota
	classShort
	classMousebite
	classSpur
	classCopper
	classPinHole
	classCount
)

const (
	copperValue, boardValue = 0, 255
	// attempts at a place for one defect before its class is drawn anew, and how often that is done.
	attempts, redraws = 500, 6
	// leastChange is the number of pixels by which a defect must differ from the template, however that is
	// exposed; the data set's smallest differ by about forty.
	leastChange = 36
)

// blemish puts the board's defects on the frame.
func (r *Renderer) blemish(index uint64, dst []byte, template exposure, truth []Truth) []Truth {
	x := stream(r.opt.Seed, index, purposeDefects)
	clean := x.unit() < r.opt.Clean
	if clean || r.opt.Defects == 0 {
		return truth
	}
	r.flaws.begin(dst, r.opt.Width, r.opt.Height, x)
	start := len(truth)
	for range 1 + x.poisson(r.opt.Defects-1) {
		if t, ok := r.another(template, truth[start:]); ok {
			truth = append(truth, t)
		}
	}
	return truth
}

// another draws one more defect apart from those already there; false when the board has no room for it.
func (r *Renderer) another(template exposure, apart []Truth) (Truth, bool) {
	f := &r.flaws
	for range redraws {
		class := f.r.in(0, classCount-1)
		for range attempts {
			if !f.try(class) {
				continue
			}
			t := Truth{Class: class, Box: f.box()}
			if disjoint(t.Box, apart) && r.visible(template) {
				return t, true
			}
			f.revert()
		}
	}
	return Truth{}, false
}

// visible compares the changed pixels with the template's.
func (r *Renderer) visible(template exposure) bool {
	f, n := &r.flaws, 0
	for y := f.changed.y0; y < f.changed.y1; y++ {
		for x := f.changed.x0; x < f.changed.x1; x++ {
			now := f.dst[y*f.w+x]
			if now != f.before(x, y) && now != r.scanner.at(r.canvas, template, x, y) {
				n++
			}
		}
	}
	return n >= leastChange
}

func disjoint(b [4]float32, apart []Truth) bool {
	for _, t := range apart {
		if b[0] < t.Box[2] && t.Box[0] < b[2] && b[1] < t.Box[3] && t.Box[1] < b[3] {
			return false
		}
	}
	return true
}

// try draws a defect of the class at a random place; false, and nothing drawn, where it makes no sense.
func (f *flaws) try(class int) bool {
	f.reset()
	x, y := f.r.in(margin, f.w-1-margin), f.r.in(margin, f.h-1-margin)
	ok := false
	switch class {
	case classOpen:
		ok = f.open(x, y)
	case classShort:
		ok = f.short(x, y)
	case classMousebite:
		ok = f.mousebite(x, y)
	case classSpur:
		ok = f.spur(x, y)
	case classCopper:
		ok = f.island(x, y, boardValue, f.r.in(5, 9), 3)
	case classPinHole:
		ok = f.island(x, y, copperValue, f.r.in(4, 7), 2)
	}
	if ok = ok && f.measure(); !ok {
		f.revert()
	}
	return ok
}

// open cuts a trace across; both ends must have been one piece of copper, and be two afterwards.
func (f *flaws) open(x, y int) bool {
	if f.value(x, y) != copperValue {
		return false
	}
	g := f.narrowest(x, y, copperValue)
	if g.length < 4 || g.length > 60 {
		return false
	}
	along := toward((g.heading + 2) & 7)
	mx, my := (g.x0+g.x1)/2, (g.y0+g.y1)/2
	reach := 16 + g.length/3
	ax, ay, bx, by := mx+along.x*reach>>12, my+along.y*reach>>12, mx-along.x*reach>>12, my-along.y*reach>>12
	if !f.connected(ax, ay, bx, by) {
		return false
	}
	width := f.r.in(5, 9)
	if f.r.chance(30) {
		width = f.r.in(9, 16)
	}
	slant := f.r.in(-1, 1) * f.r.in(0, 5)
	beyond := toward(g.heading)
	ex, ey := beyond.x*3>>12, beyond.y*3>>12
	sx, sy := along.x*slant>>12, along.y*slant>>12
	f.flecks = f.r.in(0, 1) * f.r.in(0, 1) * f.r.in(5, 35)
	f.bent(g.x0-ex+sx, g.y0-ey+sy, g.x1+ex-sx, g.y1+ey-sy, width, boardValue)
	return f.value(ax, ay) == copperValue && f.value(bx, by) == copperValue &&
		!f.connected(ax, ay, bx, by)
}

// short joins two pieces of copper that have no connection nearby, across the gap between them.
func (f *flaws) short(x, y int) bool {
	if f.value(x, y) != boardValue {
		return false
	}
	g := f.narrowest(x, y, boardValue)
	if g.length < 4 || g.length > 56 {
		return false
	}
	d := toward(g.heading)
	ax, ay, bx, by := g.x0-d.x*2>>12, g.y0-d.y*2>>12, g.x1+d.x*2>>12, g.y1+d.y*2>>12
	if f.value(ax, ay) != copperValue || f.value(bx, by) != copperValue ||
		f.connected(ax, ay, bx, by) {
		return false
	}
	width := f.r.in(4, 8)
	if f.r.chance(25) {
		width = f.r.in(8, 16)
	}
	f.bent(ax, ay, bx, by, width, copperValue)
	return f.connected(ax, ay, bx, by)
}

// mousebite gnaws into copper from its edge, and leaves enough of it to conduct.
func (f *flaws) mousebite(x, y int) bool {
	f.flecks = f.r.in(0, 1) * f.r.in(0, 1) * f.r.in(5, 25)
	return f.fromEdge(x, y, copperValue, f.r.in(6, 15), f.r.in(4, 8))
}

// spur grows copper out of an edge into the gap, and leaves some of the gap.
func (f *flaws) spur(x, y int) bool {
	return f.fromEdge(x, y, boardValue, f.r.in(7, 16), f.r.in(4, 7))
}

// fromEdge draws a stroke from an edge into the medium that (x, y) lies in, shorter where that is narrow, and
// leaves three pixels of it around the stroke's end.
func (f *flaws) fromEdge(x, y int, medium byte, length, width int) bool {
	if f.value(x, y) != medium {
		return false
	}
	heading := f.r.in(0, 7)
	d, side := toward(heading), toward((heading+2)&7)
	reach := f.run(x, y, d.x, d.y, medium) + 1
	if reach >= longestChord {
		return false
	}
	if through := reach + f.run(x, y, -d.x, -d.y, medium); length > through*60/100 {
		length = through * 60 / 100
	}
	ex, ey := x+d.x*reach>>12, y+d.y*reach>>12
	lean := f.r.in(-length, length) / 2
	tx, ty := ex-d.x*length>>12+side.x*lean>>12, ey-d.y*length>>12+side.y*lean>>12
	if length < 5 || !f.uniform(tx, ty, width/2+3, medium) {
		return false
	}
	f.bent(ex, ey, tx, ty, width, ^medium)
	if f.r.chance(30) {
		f.bent(tx, ty, tx+f.r.in(-4, 4), ty+f.r.in(-4, 4), width-2, ^medium)
	}
	return true
}

// island draws a worm of the other medium, wholly within one.
func (f *flaws) island(x, y int, medium byte, width, clearance int) bool {
	if !f.uniform(x, y, width/2+clearance, medium) {
		return false
	}
	reach := 9
	if f.r.chance(30) {
		reach = 16
	}
	for range f.r.in(1, 3) {
		nx, ny := x+f.r.in(-reach, reach), y+f.r.in(-reach, reach)
		f.bent(x, y, nx, ny, width, ^medium)
		x, y = nx, ny
	}
	return f.surrounded(clearance, medium)
}
