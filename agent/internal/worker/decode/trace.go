package decode

// mask says which pixels of a grid are in; none beside the grid are.
type mask interface {
	in(x, y int) bool
}

// heading is a way along the sides of pixels, with the pixels that lie to its left and right ahead of the
// corner that it has come to.
type heading struct{ dx, dy, leftX, leftY, rightX, rightY int }

func headings() [4]heading {
	return [4]heading{
		{1, 0, 0, -1, 0, 0},    // east
		{0, 1, 0, 0, -1, 0},    // south
		{-1, 0, -1, 0, -1, -1}, // west
		{0, -1, -1, -1, 0, -1}, // north
	}
}

// trace goes clockwise around the part of a mask whose first pixel of its first row is at x, y, along the
// sides of its pixels; pixels that touch at a corner belong together. It calls step for each side with the
// corner where it begins, the pixel inside, the one beside it that is not, and whether the way turns here.
func trace(m mask, x, y int, step func(x, y int, inside, outside [2]int, turned bool)) {
	ways, way, before := headings(), 0, 3
	for startX, startY := x, y; ; {
		h := &ways[way]
		step(x, y, [2]int{x + h.rightX, y + h.rightY}, [2]int{x + h.leftX, y + h.leftY}, way != before)
		x, y, before = x+h.dx, y+h.dy, way
		switch {
		case m.in(x+h.leftX, y+h.leftY):
			way = (way + 3) % 4
		case !m.in(x+h.rightX, y+h.rightY):
			way = (way + 1) % 4
		}
		if x == startX && y == startY && way == 0 {
			return
		}
	}
}
