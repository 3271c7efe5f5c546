package sim

// layout draws one board on a canvas. Sizes are pixels of the data set (about 48 a millimetre).
type layout struct {
	c     *canvas
	r     random
	w, h  int
	holes []hole // drilled last, so that traces may run to the middle of a pad
}

type hole struct{ x, y, radius int }

// drawBoard draws one of the families of board that the data set knows.
func drawBoard(l *layout) {
	clear(l.c.pix)
	l.holes = l.holes[:0]
	l.c.tilt = 0
	if l.r.chance(40) {
		l.c.tilt = l.r.in(-24, 24)
	}
	l.c.transposed = l.r.chance(20)
	l.w, l.h = l.c.size()
	switch p := l.r.in(0, 99); {
	case p < 27:
		l.drawMixed()
	case p < 44:
		l.drawBuses()
	case p < 61:
		l.drawPours()
	case p < 79:
		l.drawFine()
	case p < 90:
		l.drawFingers()
	default:
		l.drawRounds()
	}
	for _, h := range l.holes {
		l.c.cut(disc(h.x, h.y, h.radius))
	}
}

// place draws the shape where it keeps its distance from all copper, and says whether it did.
func (l *layout) place(s shape, gap int) bool {
	if !l.c.free(s, gap) {
		return false
	}
	l.c.fill(s)
	return true
}

func (l *layout) drill(x, y, radius int) { l.holes = append(l.holes, hole{x, y, radius}) }

// per gives a count for this frame from a count for a frame of 640 × 640.
func (l *layout) per(lo, hi int) int {
	n := l.r.in(lo, hi)
	return max(min(n, 1), n*l.w*l.h/(640*640))
}

// spot is a random place, up to reach pixels outside of the frame.
func (l *layout) spot(reach int) (x, y int) {
	return l.r.in(-reach, l.w+reach), l.r.in(-reach, l.h+reach)
}

// drawMixed: thick traces between drilled pads, thin ones between rectangular pads.
func (l *layout) drawMixed() {
	if l.r.chance(25) {
		l.text(l.r.in(-6, 40), l.r.in(-20, 20))
	}
	for range l.per(0, 3) {
		l.bundle(l.r.in(1, 3), l.r.in(14, 50), l.r.in(12, 26))
	}
	for range l.per(0, 3) {
		x, y := l.spot(60)
		l.plate(x, y)
	}
	for range l.per(8, 22) {
		l.drilledPad(l.r.in(22, 36), l.r.in(14, 44))
	}
	for range l.per(1, 6) {
		l.padRow(l.r.in(2, 5), l.r.in(26, 44), l.r.in(22, 40), l.r.in(18, 40))
	}
	for range l.per(8, 20) {
		l.smallPad(l.r.in(5, 10))
	}
}

// drawBuses: many parallel traces across the board, pads where they leave room.
func (l *layout) drawBuses() {
	for range l.per(2, 4) {
		l.bundle(l.r.in(4, 14), l.r.in(7, 16), l.r.in(7, 12))
	}
	for range l.per(3, 10) {
		l.drilledPad(l.r.in(24, 34), l.r.in(10, 28))
	}
	for range l.per(2, 5) {
		l.padRow(l.r.in(2, 4), l.r.in(26, 60), l.r.in(26, 50), l.r.in(14, 30))
	}
	for range l.per(10, 30) {
		l.smallPad(l.r.in(6, 12))
	}
}

// drawFine: thin traces, through-vias, crescents, meanders, much bare board.
func (l *layout) drawFine() {
	width := l.r.in(5, 8)
	if l.r.chance(60) {
		l.crescents(width)
	}
	for range l.per(0, 3) {
		l.bundle(l.r.in(2, 7), width, l.r.in(9, 26))
	}
	for range l.per(0, 3) {
		l.meander(width)
	}
	for range l.per(4, 22) {
		l.viaTrace(width)
	}
	for range l.per(0, 3) {
		x, y := l.spot(20)
		l.place(disc(x, y, l.r.in(20, 100)), 16)
	}
}
