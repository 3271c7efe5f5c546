package align

const (
	unknowns = 6
	rounds   = 8
	// doubt, in pixels, is the distance from the fit from which a tile counts for little.
	doubt = 1.5
	// lever scales places so that stretch and shear are pixels at 320 px from the middle.
	lever = 320
	// still holds stretch and shear, which are small: without evidence they are none. any keeps the system
	// solvable without evidence of anything.
	still = 1e-4
	any6  = 1e-6
)

// affine maps a place to its displacement: dx = m[0]x + m[1]y + m[2], dy = m[3]x + m[4]y + m[5], with x and y
// from the middle of the tiles, over lever.
type affine struct {
	cx, cy float64
	m      [unknowns]float64
}

func (a *affine) at(x, y float64) (dx, dy float64) {
	x, y = (x-a.cx)/lever, (y-a.cy)/lever
	return a.m[0]*x + a.m[1]*y + a.m[2], a.m[3]*x + a.m[4]*y + a.m[5]
}

// affine fits one to the tiles' shifts, each weighted by how sharply it says it in each direction, and less
// from round to round the farther it is off.
func (g *grid) affine() affine {
	var a affine
	for i := range g.tiles {
		a.cx += g.tiles[i].x / float64(len(g.tiles))
		a.cy += g.tiles[i].y / float64(len(g.tiles))
	}
	for round := range rounds {
		var s system
		for i := range g.tiles {
			t := &g.tiles[i]
			weight := 1.0
			if round > 0 {
				dx, dy := a.at(t.x, t.y)
				off := 1 + ((dx-t.dx)*(dx-t.dx)+(dy-t.dy)*(dy-t.dy))/(doubt*doubt)
				weight = 1 / (off * off)
			}
			s.add(t, (t.x-a.cx)/lever, (t.y-a.cy)/lever, weight)
		}
		for i := range unknowns {
			s[i][i] += any6
			if i%3 != 2 {
				s[i][i] += still
			}
		}
		a.m = s.solve()
	}
	return a
}

// system is the normal equations of a fit, the right side in the last column.
type system [unknowns][unknowns + 1]float64

func (s *system) add(t *tile, x, y, weight float64) {
	row := [3]float64{x, y, 1}
	xx, xy, yy := weight*t.bend.xx, weight*t.bend.xy, weight*t.bend.yy
	rightX, rightY := xx*t.dx+xy*t.dy, xy*t.dx+yy*t.dy
	for i := range 3 {
		for j := range 3 {
			both := row[i] * row[j]
			s[i][j] += both * xx
			s[i][j+3] += both * xy
			s[i+3][j] += both * xy
			s[i+3][j+3] += both * yy
		}
		s[i][unknowns] += row[i] * rightX
		s[i+3][unknowns] += row[i] * rightY
	}
}

// solve eliminates without exchanging rows: the matrix is positive definite.
func (s *system) solve() [unknowns]float64 {
	for i := range unknowns {
		for j := i + 1; j < unknowns; j++ {
			f := s[j][i] / s[i][i]
			for k := i; k <= unknowns; k++ {
				s[j][k] -= f * s[i][k]
			}
		}
	}
	var x [unknowns]float64
	for i := unknowns - 1; i >= 0; i-- {
		sum := s[i][unknowns]
		for j := i + 1; j < unknowns; j++ {
			sum -= s[i][j] * x[j]
		}
		x[i] = sum / s[i][i]
	}
	return x
}
