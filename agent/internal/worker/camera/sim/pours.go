package sim

// area is a rectangle that a layout divides, in pixels.
type area struct{ x0, y0, x1, y1 int }

// drawPours: the board is split into large copper areas with channels between them.
func (l *layout) drawPours() {
	gap := l.r.in(14, 60)
	l.split(area{-40, -40, l.w + 40, l.h + 40}, gap, l.r.in(160, 380))
	for range l.per(2, 9) {
		l.inPour()
	}
	for range l.per(2, 6) {
		l.smallPad(l.r.in(6, 14))
	}
}

// split halves an area until its pieces are small enough, and pours copper into most of them.
func (l *layout) split(a area, gap, least int) {
	w, h := a.x1-a.x0, a.y1-a.y0
	if max(w, h) < 2*least || (max(w, h) < 3*least && l.r.chance(25)) {
		l.pour(a, gap/2)
		return
	}
	if w > h {
		at := a.x0 + w*l.r.in(30, 70)/100
		l.split(area{a.x0, a.y0, at, a.y1}, gap, least)
		l.split(area{at, a.y0, a.x1, a.y1}, gap, least)
		return
	}
	at := a.y0 + h*l.r.in(30, 70)/100
	l.split(area{a.x0, a.y0, a.x1, at}, gap, least)
	l.split(area{a.x0, at, a.x1, a.y1}, gap, least)
}

func (l *layout) pour(a area, inset int) {
	if l.r.chance(10) {
		return
	}
	a = area{a.x0 + inset, a.y0 + inset, a.x1 - inset, a.y1 - inset}
	if l.r.chance(40) {
		l.c.fill(rect(a.x0, a.y0, a.x1, a.y1, l.r.in(0, 24)))
		return
	}
	var corners [4]int
	for i := range corners {
		if l.r.chance(45) {
			corners[i] = l.r.in(20, 140)
		}
	}
	l.c.fill(chamfered(a.x0, a.y0, a.x1, a.y1, corners))
}

// plate is a pour among other things, from which a trace may lead.
func (l *layout) plate(x, y int) {
	w, h := l.r.in(90, 320), l.r.in(70, 240)
	s := rect(x, y, x+w, y+h, l.r.in(0, 10))
	if l.r.chance(60) {
		s = chamfered(x, y, x+w, y+h, [4]int{0, l.r.in(0, 90), l.r.in(0, 50), l.r.in(0, 90)})
	}
	if !l.place(s, 16) {
		return
	}
	if l.r.chance(60) {
		l.drillRow(x+l.r.in(20, w/2), y+l.r.in(20, h-20))
	}
	l.trace(x+w/2, y+h/2, max(w, h)/2, l.r.in(10, 40))
}

// inPour adds what is cut out of copper: drills, slots, channels, clearings with a pad.
func (l *layout) inPour() {
	x, y := l.spot(0)
	switch l.r.in(0, 3) {
	case 0:
		l.drillRow(x, y)
	case 1:
		if s := line(x, y, x+l.r.in(40, 150), y, l.r.in(14, 26)); l.c.solid(s, 14) {
			l.c.cut(s)
		}
	case 2:
		l.channel(x, y, l.r.in(9, 20))
	default:
		l.clearing(x, y)
	}
}

func (l *layout) drillRow(x, y int) {
	radius, pitch := l.r.in(6, 14), l.r.in(50, 110)
	for range l.r.in(1, 4) {
		if l.c.solid(disc(x, y, radius), 10) {
			l.drill(x, y, radius)
		}
		x += pitch
	}
}

// channel cuts an insulating line through copper, with bends, until it leaves the copper.
func (l *layout) channel(x, y, width int) {
	heading := l.r.in(0, 7)
	for range l.r.in(2, 5) {
		d, reach := toward(heading), l.r.in(60, 260)
		nx, ny := x+d.x*reach>>12, y+d.y*reach>>12
		l.c.cut(line(x, y, nx, ny, width))
		x, y = nx, ny
		heading = (heading + l.r.in(0, 1)*2 + 7) & 7
	}
}

// clearing frees a rounded window in copper and sets a pad in it.
func (l *layout) clearing(x, y int) {
	a, b := l.r.in(50, 100), l.r.in(50, 100)
	window := rect(x-a, y-b, x+a, y+b, l.r.in(20, 50))
	if l.r.chance(40) {
		window = disc(x, y, a)
	}
	if !l.c.solid(window, 16) {
		return
	}
	l.c.cut(window)
	switch l.r.in(0, 3) {
	case 0:
		l.c.fill(disc(x, y, min(a, b)/3))
	case 1:
		l.c.fill(rect(x-a/4, y-b/4, x+a/4, y+b/4, 0))
	case 2:
		l.channel(x, y, l.r.in(12, 22))
	}
}

// drawRounds: large discs, as of ring-shaped boards, with windows, channels and drills.
func (l *layout) drawRounds() {
	for range l.per(6, 14) {
		x, y := l.spot(240)
		if radius := l.r.in(120, 460); radius > 260 || l.r.chance(30) {
			l.place(disc(x, y, radius), l.r.in(16, 40))
		}
	}
	for range l.per(6, 16) {
		l.inPour()
	}
	for range l.per(1, 5) {
		l.smallPad(l.r.in(8, 14))
	}
}

// drawFingers: wide parallel bands, some interrupted, jogged or drilled.
func (l *layout) drawFingers() {
	gap := l.r.in(16, 50)
	round := l.r.in(0, 1) * l.r.in(8, 22)
	end := l.h + 40
	if l.r.chance(40) {
		end = l.h * l.r.in(30, 90) / 100
	}
	for x := -l.r.in(0, 60); x < l.w+20; {
		width := l.r.in(46, 70)
		if l.r.chance(30) {
			width = l.r.in(80, 130)
		}
		l.band(x, width, gap, end, round)
		x += width + gap + l.r.in(0, 1)*l.r.in(0, 20)
	}
}

// band draws one column of fingers, down to end.
func (l *layout) band(x, width, gap, end, round int) {
	if l.r.chance(50) {
		l.finger(x, -30, width, end, round)
		return
	}
	for y := -l.r.in(30, 200); y < end; {
		bottom := min(end, y+l.r.in(150, 700))
		if bottom-y < 300 && l.r.chance(50) {
			l.jog(x, y, width, bottom)
		} else {
			l.finger(x, y, width, bottom, round)
		}
		y = bottom + gap + l.r.in(0, 1)*l.r.in(0, 120)
	}
}

func (l *layout) finger(x, top, width, bottom, round int) {
	l.c.fill(rect(x, top, x+width, bottom, round))
	if l.r.chance(50) {
		l.drill(x+width/2+l.r.in(-8, 8), bottom-l.r.in(30, 60), l.r.in(4, 8))
	}
}

// jog is a finger of which the upper half stands aside, joined by a slope.
func (l *layout) jog(x, top, width, bottom int) {
	aside := min(width/2, (bottom-top)/4)
	middle := (top + bottom) / 2
	l.c.fill(rect(x+aside, top, x+width, middle-aside/2, 0))
	l.c.fill(shape{n: 4, pts: [8]point{
		{(x + aside) * unit, (middle - aside/2 - 1) * unit},
		{(x + width) * unit, (middle - aside/2 - 1) * unit},
		{(x + width - aside) * unit, (middle + aside/2 + 1) * unit},
		{x * unit, (middle + aside/2 + 1) * unit},
	}})
	l.c.fill(rect(x, middle+aside/2, x+width-aside, bottom, 0))
}
