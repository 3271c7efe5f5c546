package sim

// toward is the unit step, in 1/4096, of one of the eight directions that a router knows: 0 is to the right,
// each next one 45° on.
func toward(heading int) point {
	const straight, slant = 4096, 2896
	steps := [...]point{
		{straight, 0},
		{slant, slant},
		{0, straight},
		{-slant, slant},
		{-straight, 0},
		{-slant, -slant},
		{0, -straight},
		{slant, -slant},
	}
	return steps[heading]
}

const (
	traceGap = 9 // least distance of a routed trace from other copper, pixels
	// endGap is what a trace's end keeps more than that: two ends close by would look like an open.
	endGap = 14
)

// trace runs from the middle of a pad of the given radius, turning by 45°, as far as it finds room, and ends
// in a pad of its own where there is room for one.
func (l *layout) trace(x, y, radius, width int) {
	heading := l.r.in(0, 3) * 2
	arrived, moved := heading, false
	clearance := radius + width/2 + traceGap + 3
	for range l.r.in(2, 6) {
		nx, ny, ok := l.step(x, y, heading, width, clearance)
		if !ok {
			break
		}
		x, y, arrived, moved = nx, ny, heading, true
		clearance = width + traceGap + 3
		heading = (heading + l.r.in(0, 1)*2 + 7) & 7
	}
	if moved {
		l.terminate(x, y, arrived, width)
	}
}

// step draws one straight piece; it is shortened until it fits.
func (l *layout) step(x, y, heading, width, clearance int) (nx, ny int, ok bool) {
	d := toward(heading)
	reach := clearance + l.r.in(10, 180)
	if heading&1 == 1 {
		reach = clearance + l.r.in(4, 90)
	}
	sx, sy := x+d.x*clearance>>12, y+d.y*clearance>>12
	for ; reach > clearance; reach = reach*2/3 - 1 {
		nx, ny = x+d.x*reach>>12, y+d.y*reach>>12
		ex, ey := nx+d.x*endGap>>12, ny+d.y*endGap>>12
		if l.c.free(line(sx, sy, ex, ey, width), traceGap) {
			l.c.fill(line(x, y, nx, ny, width))
			return nx, ny, true
		}
	}
	return x, y, false
}

// terminate ends a trace that arrived at (x, y) in a pad, where the half circle ahead has room for one.
func (l *layout) terminate(x, y, heading, width int) {
	radius := width/2 + l.r.in(3, 8)
	if width > 12 {
		radius = max(width/2+l.r.in(2, 12), 20)
	}
	for turn := range 5 {
		d := toward((heading + turn + 6) & 7)
		reach := radius + traceGap
		if !l.c.free(disc(x+d.x*reach>>12, y+d.y*reach>>12, 6), 0) {
			return
		}
	}
	switch {
	case width > 12:
		l.c.fill(disc(x, y, radius))
		l.drill(x, y, max(6, radius*2/5))
	case l.r.chance(60):
		l.c.fill(disc(x, y, radius))
	default:
		l.c.fill(rect(x-radius-2, y-radius, x+radius+2, y+radius, 0))
	}
}

// spine is the middle of a bundle of traces.
type spine struct {
	pts     [12]point // pixels
	heading [12]int   // of the piece that starts at the point
	n       int
}

// walk makes a spine from one side of the frame across to another.
func (l *layout) walk() spine {
	var s spine
	heading, x, y := 0, -30, l.r.in(0, l.h)
	if l.r.chance(40) {
		heading, x, y = 2, l.r.in(0, l.w), -30
	}
	base := heading
	for s.n < len(s.pts)-1 && x > -200 && y > -200 && x < l.w+100 && y < l.h+100 {
		s.pts[s.n], s.heading[s.n] = point{x, y}, heading
		s.n++
		reach := l.r.in(120, 420)
		x, y = x+toward(heading).x*reach>>12, y+toward(heading).y*reach>>12
		heading = (heading + l.r.in(0, 1)*2 + 7) & 7
		if turned := (heading - base + 8) & 7; turned > 2 && turned < 6 {
			heading = base
		}
	}
	s.pts[s.n], s.heading[s.n] = point{x, y}, s.heading[s.n-1]
	s.n++
	return s
}

// bundle draws n parallel traces along a spine, if the whole of it finds room.
func (l *layout) bundle(n, width, gap int) {
	s := l.walk()
	total := n*width + (n-1)*gap
	for i := range s.n - 1 {
		a, b := s.pts[i], s.pts[i+1]
		if !l.c.free(line(a.x, a.y, b.x, b.y, total), gap) {
			return
		}
	}
	for k := range n {
		l.parallel(&s, (k*(width+gap)-(total-width)/2)*unit, width)
	}
}

// parallel draws one trace of a bundle, at an offset (1/64 pixel) to the right of its spine.
func (l *layout) parallel(s *spine, offset, width int) {
	last := s.miter(0, offset)
	for i := 1; i < s.n; i++ {
		next := s.miter(i, offset)
		l.c.fill(shape{pts: [8]point{last, next}, n: 2, r: width * unit / 2})
		last = next
	}
}

// miter is where the offset lines of the pieces before and after a point meet: the sum of both normals over
// one plus their product, which is cos 45° = 2896/4096 at a bend.
func (s *spine) miter(i, offset int) point {
	a, b := toward(s.heading[max(i-1, 0)]), toward(s.heading[i])
	nx, ny := -(a.y + b.y), a.x+b.x
	over := 4096 + (a.x*b.x+a.y*b.y)>>12
	return point{s.pts[i].x*unit + nx*offset/over, s.pts[i].y*unit + ny*offset/over}
}

// meander is the length-matching zigzag of a thin trace.
func (l *layout) meander(width int) {
	x, y := l.spot(0)
	n, pitch, height := l.r.in(4, 9), width+l.r.in(10, 14), l.r.in(40, 90)
	if !l.c.free(rect(x-pitch, y, x+(n+1)*pitch, y+height, 0), 12) {
		return
	}
	for i := range n {
		cx := x + i*pitch
		l.c.fill(line(cx, y, cx, y+height, width))
		if end := y + height*(i&1); i < n-1 {
			l.c.fill(line(cx, end, cx+pitch, end, width))
		}
	}
	l.trace(x, y+height, width, width)
}
