package capture

import "image"

// votes count, for each pixel, the boards that are bare there. The highest bit is that of the board at hand,
// which counts once it is seen to fit as a whole; MaxBoards fit in the lower ones.
type votes struct {
	width, height int
	bare          []uint8
	boards        int
}

const atHand = 1 << 7

func newVotes(width, height int) votes {
	return votes{width: width, height: height, bare: make([]uint8, width*height)}
}

// mark takes a part of the board at hand: plane has a byte of 0 or 255 for each pixel, rows stride apart, and
// begins at the corner of the part.
func (v *votes) mark(plane []byte, part image.Rectangle, stride int) {
	for y := range part.Dy() {
		from := plane[y*stride:][:part.Dx()]
		to := v.bare[(part.Min.Y+y)*v.width+part.Min.X:][:len(from)]
		for x, b := range from {
			to[x] = to[x]&^atHand | b&atHand
		}
	}
}

// count adds the board at hand. Each of its pixels was marked.
func (v *votes) count() {
	for i, n := range v.bare {
		v.bare[i] = n&^atHand + n>>7
	}
	v.boards++
}

// picture is what most boards are; it takes the memory of the votes.
func (v *votes) picture() *image.Gray {
	for i, n := range v.bare {
		v.bare[i] = 0
		if 2*int(n&^atHand) > v.boards { // a board that did not fit may have left its mark
			v.bare[i] = 255
		}
	}
	return &image.Gray{Pix: v.bare, Stride: v.width, Rect: image.Rect(0, 0, v.width, v.height)}
}
