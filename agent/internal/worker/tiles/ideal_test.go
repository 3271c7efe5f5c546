package tiles_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

const (
	sheetTile    = 160
	sheetOverlap = 48
	kinds        = 3
	leastVisible = 0.3
)

// ideal is a detector that finds in a tile each true box, clipped to the tile. Pieces that show less than 30
// % are not found, others score less. Corners are off by up to 2 px or 5 % of the shorter side.
type ideal struct{ random *rand.Rand }

func shuffled(n int, seed uint64) []int { return rand.New(rand.NewPCG(seed, 0)).Perm(n) }

func (d ideal) look(p *tiles.Plan, truth []detect.Detection) [][]detect.Detection {
	all := make([][]detect.Detection, p.Len())
	for i := range all {
		area := rect(p.Tile(i))
		for _, t := range truth {
			if f, ok := d.see(t, area); ok {
				all[i] = append(all[i], f)
			}
		}
	}
	return all
}

// see: of a defect longer than the overlap, a piece as long as the overlap is as good as all of it.
func (d ideal) see(t detect.Detection, area box) (detect.Detection, bool) {
	b := clip(t.Box, area)
	if b[0] >= b[2] || b[1] >= b[3] {
		return t, false
	}
	visible := (b[2] - b[0]) * (b[3] - b[1]) /
		(min(t.Box[2]-t.Box[0], sheetOverlap) * min(t.Box[3]-t.Box[1], sheetOverlap))
	if visible < leastVisible {
		return t, false
	}
	off := min(2, 0.05*min(b[2]-b[0], b[3]-b[1]))
	for i := range b {
		b[i] += off * (2*d.random.Float32() - 1)
	}
	score := t.Score * (0.5 + 0.5*min(1, visible)) * (0.9 + 0.1*d.random.Float32())
	return detect.Detection{Class: t.Class, Score: score, Box: clip(b, area)}, true
}

func rect(r tiles.Rect) box {
	return box{float32(r.X), float32(r.Y), float32(r.X + r.Width), float32(r.Y + r.Height)}
}

func clip(a, b box) box {
	return box{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])}
}

// free says whether a box keeps a distance to all others of the class.
func free(truth []detect.Detection, d detect.Detection, distance float32) bool {
	return !slices.ContainsFunc(truth, func(t detect.Detection) bool {
		return t.Class == d.Class && t.Box[0] < d.Box[2]+distance && d.Box[0] < t.Box[2]+distance &&
			t.Box[1] < d.Box[3]+distance && d.Box[1] < t.Box[3]+distance
	})
}

// exactlyOnce merges, in several orders, and wants each true box once with IoU ≥ 0.8, and nothing else.
func exactlyOnce(t *testing.T, p *tiles.Plan, truth []detect.Detection, random *rand.Rand) {
	t.Helper()
	all := ideal{random}.look(p, truth)
	m := tiles.NewMerger(p, 10_000, nmsIoU)
	var first []detect.Detection
	for order := range 3 {
		m.Reset()
		for _, tile := range random.Perm(p.Len()) {
			random.Shuffle(len(all[tile]), func(i, j int) {
				all[tile][i], all[tile][j] = all[tile][j], all[tile][i]
			})
			require.NoError(t, m.Add(tile, all[tile]))
		}
		got := m.Result()
		if order == 0 {
			first = slices.Clone(got)
		}
		require.Equal(t, first, slices.Clone(got), "another order, another result")
	}
	for _, d := range truth {
		n := 0
		for _, f := range first {
			if f.Class == d.Class && detect.IoU(f.Box, d.Box) >= 0.8 {
				n++
			}
		}
		require.Equal(t, 1, n, "%v was found %d times in %v", d, n, near(first, d))
	}
	require.Len(t, first, len(truth))
	require.Zero(t, m.Dropped())
}

func near(all []detect.Detection, to detect.Detection) (touching []detect.Detection) {
	for _, d := range all {
		if d.Class == to.Class && detect.IoU(d.Box, to.Box) > 0 {
			touching = append(touching, d)
		}
	}
	return touching
}

// aimed is a place for a box: anywhere, or on a seam or a corner of seams.
func aimed(random *rand.Rand, p *tiles.Plan, sheetWidth, sheetHeight int, w, h float32) box {
	x, y := random.Float32()*float32(sheetWidth), random.Float32()*float32(sheetHeight)
	seam := rect(p.Tile(random.IntN(p.Len())))
	if aim := random.IntN(4); aim > 0 {
		if aim != 2 {
			x = seam[2*random.IntN(2)] - random.Float32()*w
		}
		if aim != 1 {
			y = seam[1+2*random.IntN(2)] - random.Float32()*h
		}
	}
	x, y = min(max(x, 0), float32(sheetWidth)-w), min(max(y, 0), float32(sheetHeight)-h)
	return box{x, y, x + w, y + h}
}

func TestEachDefectIsFoundOnceWhereverItLies(t *testing.T) {
	const sheets = 400
	count := 0
	for seed := range uint64(sheets) {
		random := rand.New(rand.NewPCG(seed, 1))
		width, height := 100+random.IntN(700), 100+random.IntN(700)
		p := plan(t, width, height, sheetTile, sheetOverlap)
		var truth []detect.Detection
		for range 200 {
			w, h := 8+random.Float32()*(sheetOverlap-8), 8+random.Float32()*(sheetOverlap-8)
			d := detect.Detection{
				Class: random.IntN(kinds), Score: 0.5 + random.Float32()/2,
				Box: aimed(random, p, width, height, w, h),
			}
			if free(truth, d, 1) {
				truth = append(truth, d)
			}
		}
		count += len(truth)
		exactlyOnce(t, p, truth, random)
	}
	require.Greater(t, count, 20*sheets)
}

// Every pixel of the places around a corner where four tiles meet.
func TestEachDefectIsFoundOnceAtEveryPixelOfACorner(t *testing.T) {
	p := plan(t, 272, 272, sheetTile, sheetOverlap)
	random := rand.New(rand.NewPCG(3, 3))
	for _, size := range [][2]float32{{12, 12}, {30, 14}, {47, 47}} {
		for x := float32(90); x < 170; x += 2 {
			for y := float32(90); y < 170; y += 2 {
				d := detect.Detection{Score: 1, Box: box{x, y, x + size[0], y + size[1]}}
				exactlyOnce(t, p, []detect.Detection{d}, random)
			}
		}
	}
}

func TestLongDefectsOverSeveralTilesAreOne(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		width, height := 500+random.IntN(500), 500+random.IntN(500)
		p := plan(t, width, height, sheetTile, sheetOverlap)
		var truth []detect.Detection
		for range 40 {
			w, h := 10+random.Float32()*480, 10+random.Float32()*30
			switch random.IntN(3) {
			case 0:
				w, h = h, w
			case 1:
				h = 10 + random.Float32()*480
			}
			d := detect.Detection{
				Class: random.IntN(kinds), Score: 0.5 + random.Float32()/2,
				Box: aimed(random, p, width, height, w, h),
			}
			if free(truth, d, 5) {
				truth = append(truth, d)
			}
		}
		exactlyOnce(t, p, truth, random)
	}
}

// Pairs of one class with 0 to 4 px between them, side by side or one above the other, around the corner.
func TestTwoCloseDefectsRemainTwo(t *testing.T) {
	p := plan(t, 272, 272, sheetTile, sheetOverlap)
	for seed := range uint64(4000) {
		random := rand.New(rand.NewPCG(seed, 4))
		w, h := 8+random.Float32()*36, 8+random.Float32()*36
		a := box{70 + 100*random.Float32(), 70 + 100*random.Float32()}
		a[2], a[3] = a[0]+w, a[1]+h
		axis, gap := random.IntN(2), 4*random.Float32()
		b := a
		b[axis] = a[axis+2] + gap
		b[axis+2] = b[axis] + a[axis+2] - a[axis]
		exactlyOnce(t, p, []detect.Detection{{Score: .9, Box: a}, {Score: .8, Box: b}}, random)
	}
}

// A tile may miss what its neighbours see: all that is seen whole by one tile at least still comes out once.
func TestATileThatSeesNothingCostsNothingThatOthersSee(t *testing.T) {
	p := plan(t, 272, 272, sheetTile, sheetOverlap)
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 5))
		d := detect.Detection{Score: .9, Box: aimed(random, p, 272, 272, 30, 30)}
		all, blind := ideal{random}.look(p, []detect.Detection{d}), random.IntN(4)
		m, whole := tiles.NewMerger(p, 10, nmsIoU), false
		for tile := range p.Len() {
			if tile != blind {
				require.NoError(t, m.Add(tile, all[tile]))
				whole = whole || clip(d.Box, rect(p.Tile(tile))) == d.Box
			}
		}
		if whole {
			require.Len(t, m.Result(), 1, fmt.Sprint(d, all, blind))
			require.GreaterOrEqual(t, detect.IoU(m.Result()[0].Box, d.Box), float32(0.8))
		}
	}
}

// Boxes of one class may overlap as far as the model's own suppression lets them, less what the corners are
// off.
func TestCrowdedDefectsAreFoundOnceEach(t *testing.T) {
	p := plan(t, 272, 272, sheetTile, sheetOverlap)
	overlapping := 0
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 12))
		var truth []detect.Detection
		for range 60 {
			w, h := 16+28*random.Float32(), 16+28*random.Float32()
			b := aimed(random, p, 272, 272, w, h)
			crossed := func(d detect.Detection) bool { return detect.IoU(d.Box, b) > 0.2 }
			if !slices.ContainsFunc(truth, crossed) {
				truth = append(truth, detect.Detection{Score: 0.5 + random.Float32()/2, Box: b})
			}
		}
		for i := range truth {
			overlapping += len(near(truth[i+1:], truth[i]))
		}
		exactlyOnce(t, p, truth, random)
	}
	require.Greater(t, overlapping, 1000)
}
