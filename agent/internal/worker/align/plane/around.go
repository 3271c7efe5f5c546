package plane

// Window is a part of a plane, in pixels. Of each row's last word the pixels in Mask count.
type Window struct {
	X, Y, Words, Rows int
	Mask              uint64
}

// Search is a window of a board and where it is sought in a template: at all shifts from -Reach to Reach
// around (DX, DY), in pixels.
type Search struct {
	Window

	DX, DY, Reach int
}

// Scratch is how many words Around needs for its work.
func (s *Search) Scratch() int { return s.Words * (2*s.Rows + 2*s.Reach) }

// Around counts the pixels that differ at each shift: counts[j*(2*Reach+1)+i] for i-Reach to the right and
// j-Reach down. Board and template are of one size, the template is extended; no window may begin more than
// Margin beside it.
func (s *Search) Around(counts []int32, board, template *Plane, scratch []uint64) {
	side := 2*s.Reach + 1
	around(counts[:side*side], board, template, scratch[:s.Scratch()], s)
}

// goAround is what the C of kernel.c does, for builds without it.
func goAround(counts []int32, board, template *Plane, scratch []uint64, s *Search) {
	size := s.Words * s.Rows
	side := 2*s.Reach + 1
	window, column := scratch[:size], scratch[size:]
	board.Window(window, s.X, s.Y, s.Words, s.Rows, s.Mask)
	for i := range side {
		template.Window(column, s.X+s.DX+i-s.Reach, s.Y+s.DY-s.Reach, s.Words, s.Rows+2*s.Reach, s.Mask)
		for j := range side {
			counts[j*side+i] = int32(Differing(window, column[j*s.Words:][:size]))
		}
	}
}
