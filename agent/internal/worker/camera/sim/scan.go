package sim

import "encoding/binary"

// The camera: copper is blurred over 5 × 5 pixels and compared with a threshold that wanders along the line.
// The wandering gives the edges of the data set: straight runs, steps of one pixel, and dotted stretches
// where the threshold lies between two levels.
const (
	fullLevel = 25
	levelUnit = 16 // threshold steps for each of the blur's levels
	// A threshold outside these would break four-pixel traces or close four-pixel gaps.
	lowestThreshold, highestThreshold = 90, 310
	middleThreshold                   = 200

	grainSize = 256 // the noise tile's side in pixels
	bytesOne  = 0x0101010101010101
)

// exposure is one passage of the board under the camera.
type exposure struct {
	dx, dy    int // shift against the ideal board, pixels
	bias      int // over- or under-etching, threshold steps
	roughness int // gain of the grain
	gx, gy    int // place in the noise tile
}

type scanner struct {
	grain [grainSize * grainSize]int8
	sums  []byte
}

func newScanner(c *canvas) *scanner {
	s := &scanner{sums: make([]byte, c.stride+8)}
	r := stream(0, 0, purposeGrain)
	addLattice(&s.grain, &r, 64, 42)
	addLattice(&s.grain, &r, 16, 24)
	addLattice(&s.grain, &r, 1, 9)
	return s
}

// addLattice adds value noise: random heights every step pixels, between -gain and gain, linear in between.
func addLattice(grain *[grainSize * grainSize]int8, r *random, step, gain int) {
	side := grainSize / step
	nodes := make([]int, side*side)
	for i := range nodes {
		nodes[i] = r.in(-gain, gain)
	}
	for y := range grainSize {
		for x := range grainSize {
			i, j, u, v := x/step, y/step, x%step, y%step
			above := nodes[j*side+i]*(step-u) + nodes[j*side+(i+1)%side]*u
			j = (j + 1) % side
			below := nodes[j*side+i]*(step-u) + nodes[j*side+(i+1)%side]*u
			grain[y*grainSize+x] += int8((above*(step-v) + below*v) / (step * step))
		}
	}
}

// threshold returns the level, times levelUnit, above which a pixel counts as copper.
func (s *scanner) threshold(e exposure, x, y int) int {
	g := s.grain[(y+e.gy)&(grainSize-1)*grainSize|(x+e.gx)&(grainSize-1)]
	return max(lowestThreshold, min(middleThreshold+e.bias+int(g)*e.roughness>>3, highestThreshold))
}

// scan writes the exposed board to dst: 0 for copper, 255 for the bare board.
func (s *scanner) scan(c *canvas, e exposure, dst []byte) {
	clear(s.sums)
	first := border - 2 + e.dy
	for y := first; y < first+4; y++ {
		s.accumulate(c.pix[y*c.stride:], nil, c.stride)
	}
	for y := range c.h {
		var gone []byte
		if y > 0 {
			gone = c.pix[(first+y-1)*c.stride:]
		}
		s.accumulate(c.pix[(first+y+4)*c.stride:], gone, c.stride)
		s.row(e, y, dst[y*c.w:(y+1)*c.w])
	}
}

// accumulate keeps the sums of five rows, eight columns at a time; a sum is at most five, so none carries
// into its neighbour.
func (s *scanner) accumulate(come, gone []byte, n int) {
	for x := 0; x < n; x += 8 {
		v := binary.LittleEndian.Uint64(s.sums[x:]) + binary.LittleEndian.Uint64(come[x:])
		if gone != nil {
			v -= binary.LittleEndian.Uint64(gone[x:])
		}
		binary.LittleEndian.PutUint64(s.sums[x:], v)
	}
}

func (s *scanner) row(e exposure, y int, dst []byte) {
	sums := s.sums[border-2+e.dx:]
	for x := 0; x < len(dst); x += 8 {
		level := binary.LittleEndian.Uint64(sums[x:]) + binary.LittleEndian.Uint64(sums[x+1:]) +
			binary.LittleEndian.Uint64(sums[x+2:]) + binary.LittleEndian.Uint64(sums[x+3:]) +
			binary.LittleEndian.Uint64(sums[x+4:])
		if x+8 <= len(dst) && (level == 0 || level == fullLevel*bytesOne) {
			value := ^uint64(0)
			if level != 0 {
				value = 0
			}
			binary.LittleEndian.PutUint64(dst[x:], value)
			continue
		}
		for i := x; i < min(x+8, len(dst)); i, level = i+1, level>>8 {
			dst[i] = 255
			if int(level&255)*levelUnit > s.threshold(e, i, y) {
				dst[i] = 0
			}
		}
	}
}

// at is scan for a single pixel.
func (s *scanner) at(c *canvas, e exposure, x, y int) byte {
	level := 0
	for j := border - 2 + y + e.dy; j < border+3+y+e.dy; j++ {
		for _, v := range c.pix[j*c.stride+border-2+x+e.dx : j*c.stride+border+3+x+e.dx] {
			level += int(v)
		}
	}
	if level*levelUnit > s.threshold(e, x, y) {
		return 0
	}
	return 255
}
