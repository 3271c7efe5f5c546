package sim

import "bytes"

const (
	// margin keeps defects' seeds off the frame's edge.
	margin = 12
	// side of the window around a defect that is kept for undoing it, and searched for connections.
	side = 128
)

// flaws draws on the exposed frame, and can take back the last thing it drew.
type flaws struct {
	dst     []byte
	w, h    int
	r       random
	flecks  int  // percent of a stroke's pixels that the brush misses
	changed area // what the last defect touched, then what it changed
	kept    [side * side]byte
	keptAt  area
	visited [side * side]uint32
	stamp   uint32
	queue   []int32
}

func (f *flaws) begin(dst []byte, w, h int, r random) { f.dst, f.w, f.h, f.r = dst, w, h, r }

func (f *flaws) reset() { f.changed, f.keptAt, f.flecks = area{}, area{}, 0 }

func (f *flaws) inside(x, y int) bool { return x >= 0 && y >= 0 && x < f.w && y < f.h }

// value is the frame's pixel; that of the nearest one outside of the frame.
func (f *flaws) value(x, y int) byte {
	return f.dst[max(0, min(y, f.h-1))*f.w+max(0, min(x, f.w-1))]
}

// bent draws a ragged stroke with a bend near its middle, as with a shaky brush.
func (f *flaws) bent(x0, y0, x1, y1, width int, value byte) {
	f.keep((x0+x1)/2, (y0+y1)/2)
	reach := max(x1-x0, x0-x1, y1-y0, y0-y1)
	sway := 1 + reach/7
	mx, my := (x0+x1)/2+f.r.in(-sway, sway), (y0+y1)/2+f.r.in(-sway, sway)
	f.stroke(x0, y0, mx, my, width, value)
	f.stroke(mx, my, x1, y1, width, value)
}

func (f *flaws) stroke(x0, y0, x1, y1, width int, value byte) {
	n := max(1, x1-x0, x0-x1, y1-y0, y0-y1)
	for i := 0; i <= n; i += 2 {
		f.dab(x0+(x1-x0)*i/n, y0+(y1-y0)*i/n, width+f.r.in(-1, 1), value)
	}
	f.dab(x1, y1, width, value)
}

// dab draws a disc of the given diameter within the kept window.
func (f *flaws) dab(x, y, diameter int, value byte) {
	before, after := diameter/2, (diameter-1)/2
	limit := diameter * diameter
	for j := max(y-before, f.keptAt.y0); j <= min(y+after, f.keptAt.y1-1); j++ {
		for i := max(x-before, f.keptAt.x0); i <= min(x+after, f.keptAt.x1-1); i++ {
			u, v := 2*(i-x)+1-diameter&1, 2*(j-y)+1-diameter&1
			if u*u+v*v <= limit && !f.missed(i, j) {
				f.dst[j*f.w+i] = value
			}
		}
	}
}

// missed is fixed for a pixel, so that overlapping dabs do not fill each other's flecks.
func (f *flaws) missed(x, y int) bool {
	if f.flecks == 0 {
		return false
	}
	r := random{state: uint64(y)<<32 | uint64(x)>>1}
	return r.chance(f.flecks)
}

// keep saves the window around (x, y), once for each defect.
func (f *flaws) keep(x, y int) {
	if f.keptAt.x1 > 0 {
		return
	}
	x, y = max(0, x-side/2), max(0, y-side/2)
	f.keptAt = area{x, y, min(x+side, f.w), min(y+side, f.h)}
	for j := f.keptAt.y0; j < f.keptAt.y1; j++ {
		copy(f.kept[(j-y)*side:(j-y+1)*side], f.dst[j*f.w+x:j*f.w+f.keptAt.x1])
	}
}

// before is the pixel as it was kept.
func (f *flaws) before(x, y int) byte { return f.kept[(y-f.keptAt.y0)*side+x-f.keptAt.x0] }

func (f *flaws) revert() {
	a := f.keptAt
	for y := a.y0; y < a.y1; y++ {
		copy(f.dst[y*f.w+a.x0:y*f.w+a.x1], f.kept[(y-a.y0)*side:])
	}
	f.reset()
}

// measure finds the pixels that changed; false where none did.
func (f *flaws) measure() bool {
	a := f.keptAt
	c := area{a.x1, a.y1, a.x0, a.y0}
	for y := a.y0; y < a.y1; y++ {
		now, then := f.dst[y*f.w+a.x0:y*f.w+a.x1], f.kept[(y-a.y0)*side:][:a.x1-a.x0]
		if bytes.Equal(now, then) {
			continue
		}
		for x := a.x0; x < a.x1; x++ {
			if now[x-a.x0] != then[x-a.x0] {
				c = area{min(c.x0, x), min(c.y0, y), max(c.x1, x+1), max(c.y1, y+1)}
			}
		}
	}
	f.changed = c
	return c.x0 < c.x1
}

// box is the label of the last defect.
func (f *flaws) box() [4]float32 {
	c := f.changed
	return [4]float32{
		float32(max(0, c.x0-truthMargin)), float32(max(0, c.y0-truthMargin)),
		float32(min(c.x1+truthMargin, f.w)), float32(min(c.y1+truthMargin, f.h)),
	}
}
