package sim

// drilledPad places a ring, or two joined ones, and lets a trace run from it.
func (l *layout) drilledPad(radius, width int) {
	x, y := l.spot(20)
	s, dx, dy := disc(x, y, radius), 0, 0
	if l.r.chance(30) {
		d := toward(l.r.in(0, 7))
		reach := l.r.in(60, 140)
		dx, dy = d.x*reach>>12, d.y*reach>>12
		s = line(x, y, x+dx, y+dy, 2*radius*l.r.in(75, 100)/100)
	}
	if !l.place(s, l.r.in(12, 20)) {
		return
	}
	drill := max(6, radius*l.r.in(30, 52)/100)
	l.drill(x, y, drill)
	if dx != 0 || dy != 0 {
		l.drill(x+dx, y+dy, drill)
	}
	for range l.r.in(0, 2) {
		l.trace(x+dx, y+dy, radius, min(width, 2*radius-8))
	}
}

// smallPad places a rectangular pad or a via with a thin trace.
func (l *layout) smallPad(width int) {
	x, y := l.spot(10)
	if l.r.chance(25) {
		radius := l.r.in(14, 20)
		if l.place(disc(x, y, radius), 12) {
			l.trace(x, y, radius, width)
		}
		return
	}
	a, b := l.r.in(14, 24), l.r.in(14, 22)
	if !l.place(rect(x-a, y-b, x+a, y+b, 0), 12) {
		return
	}
	for range l.r.in(1, 2) {
		l.trace(x, y, max(a, b), width)
	}
	if l.r.chance(50) { // its twin: the part's other end
		x += 2*a + l.r.in(24, 60)
		if l.place(rect(x-a, y-b, x+a, y+b, 0), 12) {
			l.trace(x, y, max(a, b), width)
		}
	}
}

// padRow places n pads of a × b pixels side by side, as of a chip's or a connector's edge.
func (l *layout) padRow(n, a, b, gap int) {
	x, y := l.spot(40)
	upright, round := l.r.chance(50), l.r.in(0, 1)*l.r.in(2, 8)
	long, width := l.r.in(1, 3), l.r.in(5, 14)
	for range n {
		s := rect(x, y, x+a*long, y+b, round)
		if upright {
			s = rect(x, y, x+a, y+b*long, round)
		}
		if l.place(s, 11) && l.r.chance(70) {
			l.leave(x, y, a, b, long, upright, width)
		}
		if upright {
			x += a + gap
		} else {
			y += b + gap
		}
	}
}

// leave draws the trace out of a row's pad, through the pad's far end, and drills some of the long ones.
func (l *layout) leave(x, y, a, b, long int, upright bool, width int) {
	cx, cy := x+a*long-a/2, y+b/2
	if upright {
		cx, cy = x+a/2, y+b*long-b/2
	}
	if long > 1 && l.r.chance(40) {
		l.drill(cx, cy, min(a, b)/4+1)
	}
	l.trace(cx, cy, max(a, b)/2, min(width, a-4, b-4))
}

// crescents places a grid of rings whose drill missed the middle.
func (l *layout) crescents(width int) {
	x0, y0 := l.spot(0)
	pitch, radius := l.r.in(110, 140), l.r.in(28, 36)
	nx, ny := l.r.in(1, 5), l.r.in(1, 4)
	off, drill := l.r.in(-8, 8), radius*l.r.in(70, 80)/100
	for i := range nx * ny {
		x, y := x0+i%nx*pitch, y0+i/nx*pitch
		if l.place(disc(x, y, radius), 14) {
			l.drill(x+off, y+off/4, drill)
			if l.r.chance(60) {
				l.trace(x, y, radius, width)
			}
		}
	}
}

// viaTrace is a small via with a trace, which ends in another.
func (l *layout) viaTrace(width int) {
	x, y := l.spot(0)
	radius := l.r.in(7, 12)
	if l.r.chance(12) {
		radius = l.r.in(16, 24)
	}
	if l.place(disc(x, y, radius), 10) && l.r.chance(80) {
		l.trace(x, y, radius, width)
	}
}

// text prints a column of characters, as the etched part numbers along an edge.
func (l *layout) text(x, y int) {
	// strokes are the segments of the letters' cell, as pairs of its six corners.
	strokes := [...][2]int{{0, 1}, {0, 2}, {1, 3}, {2, 3}, {2, 4}, {3, 5}, {4, 5}, {0, 3}, {2, 5}}
	width, height := l.r.in(18, 26), l.r.in(16, 20)
	for ; y < l.h; y += 3*height + l.r.in(0, 1)*l.r.in(0, 60) {
		shown := l.r.next()
		for i, s := range strokes {
			if shown>>i&1 == 1 {
				l.c.fill(line(x+s[0]%2*width, y+s[0]/2*height, x+s[1]%2*width, y+s[1]/2*height, 4))
			}
		}
	}
}
