package tiles_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// reader takes numbers from fuzzed bytes, zeros when they end.
type reader struct{ raw []byte }

func (r *reader) next() int {
	if len(r.raw) < 2 {
		return 0
	}
	v := int(binary.LittleEndian.Uint16(r.raw))
	r.raw = r.raw[2:]
	return v
}

// parts places boxes in tiles, in quarters of a pixel, some of them outside of their tile.
func (r *reader) parts(p *tiles.Plan) found {
	all := found{}
	for len(r.raw) > 1 && len(all) < 100 {
		tile := r.next() % p.Len()
		area := p.Tile(tile)
		x := float32(area.X) + float32(r.next()%(4*area.Width))/4
		y := float32(area.Y) + float32(r.next()%(4*area.Height))/4
		d := detect.Detection{
			Class: r.next() % 3, Score: float32(r.next()) / math.MaxUint16,
			Box: box{
				x, y, x + float32(1+r.next()%(4*area.Width))/4, y + float32(1+r.next()%(4*area.Height))/4,
			},
		}
		if r.next()%8 > 0 {
			d.Box = clip(d.Box, rect(area))
		}
		all[tile] = append(all[tile], d)
	}
	return all
}

// Whatever the numbers: an error, or a bounded result in order, inside the sheet, that is the same for each
// order of tiles, and in which no tile's findings have become fewer.
func FuzzMerge(f *testing.F) {
	for seed := range uint64(8) {
		random, raw := rand.New(rand.NewPCG(seed, 6)), []byte(nil)
		for _, most := range []int{400, 400, 120, 120, 40} {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(60+random.IntN(most)))
		}
		for range 8 * 20 {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(random.UintN(1<<16)))
		}
		f.Add(raw, 10, float32(0.5))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 1, 0, 1, 8, 0}, math.MaxInt, float32(math.NaN()))
	f.Fuzz(func(t *testing.T, raw []byte, limit int, nmsIoU float32) {
		r := reader{raw}
		width, height := r.next()+1, r.next()+1
		p, err := tiles.NewPlan(width, height, r.next(), r.next(), r.next())
		if err != nil {
			require.ErrorIs(t, err, tiles.ErrPlan)
			return
		}
		all := r.parts(p)
		forward, ahead := mergeKnown(t, p, all, limit, nmsIoU, false)
		backward, behind := mergeKnown(t, p, all, limit, nmsIoU, true)
		require.Equal(t, forward, backward)
		require.Equal(t, ahead, behind)
		require.LessOrEqual(t, len(forward), max(limit, 1))
		perClass := [3]int{}
		for i, d := range forward {
			require.Equal(t, d.Box, clip(d.Box, box{0, 0, float32(width), float32(height)}))
			require.True(t, d.Box[0] < d.Box[2] && d.Box[1] < d.Box[3], d.Box)
			require.True(t, i == 0 || d.Score <= forward[i-1].Score)
			perClass[d.Class]++
		}
		if ahead == 0 {
			notFewer(t, all, perClass)
		}
	})
}

// mergeKnown adds tiles ascending or descending, and forgets those that are refused.
func mergeKnown(t *testing.T, p *tiles.Plan, all found, limit int, nmsIoU float32, descending bool,
) (result []detect.Detection, dropped int) {
	t.Helper()
	m := tiles.NewMerger(p, limit, nmsIoU)
	for i := range p.Len() {
		if descending {
			i = p.Len() - 1 - i
		}
		if err := m.Add(i, all[i]); err != nil {
			require.ErrorIs(t, err, tiles.ErrTile)
			delete(all, i)
		}
	}
	return m.Result(), m.Dropped()
}

func notFewer(t *testing.T, all found, perClass [3]int) {
	t.Helper()
	for _, d := range all {
		own := [3]int{}
		for _, f := range d {
			own[f.Class]++
		}
		for class, n := range own {
			require.GreaterOrEqual(t, perClass[class], n)
		}
	}
}

// A blind lens: each tile of the largest plan is one defect, and so is the sheet.
func TestTheLargestSheetMayBeOneDefect(t *testing.T) {
	p := plan(t, 65536, 65536, 272, 16)
	require.Equal(t, 1<<16, p.Len())
	m := tiles.NewMerger(p, 1<<16, nmsIoU)
	for i := range p.Len() {
		require.NoError(t, m.Add(i, one(0.5, rect(p.Tile(i)))))
	}
	require.Equal(t, one(0.5, box{0, 0, 65536, 65536}), m.Result())
}

// A broken model: hundreds of boxes that overlap, in each of nine tiles.
func TestHundredsOfOverlappingBoxesPerTileEnd(t *testing.T) {
	p := plan(t, 240, 240, 120, 60)
	random := rand.New(rand.NewPCG(8, 8))
	m := tiles.NewMerger(p, 10_000, nmsIoU)
	for i := range p.Len() {
		area, d := rect(p.Tile(i)), make([]detect.Detection, 300)
		for j := range d {
			d[j] = detect.Detection{Score: random.Float32(), Box: box{
				area[0] + 50*random.Float32(), area[1] + 50*random.Float32(),
				area[2] - 50*random.Float32(), area[3] - 50*random.Float32(),
			}}
		}
		require.NoError(t, m.Add(i, d))
	}
	require.GreaterOrEqual(t, len(m.Result()), 300)
}

// busySheet is a 16k × 16k sheet in 31 × 31 tiles, each with 100 findings or more.
func busySheet(tb testing.TB) (*tiles.Plan, []detect.Detection, [][]detect.Detection) {
	tb.Helper()
	p := plan(tb, 16384, 16384, 640, 100)
	random := rand.New(rand.NewPCG(9, 9))
	var truth []detect.Detection
	for y := float32(4); y < 16384-60; y += 64 {
		for x := float32(4); x < 16384-60; x += 64 {
			w, h := 20+28*random.Float32(), 20+28*random.Float32()
			truth = append(truth, detect.Detection{
				Class: random.IntN(6), Score: 0.5 + random.Float32()/2, Box: box{x, y, x + w, y + h},
			})
		}
	}
	all := make([][]detect.Detection, p.Len())
	eye := ideal{random}
	for i := range all {
		area := rect(p.Tile(i))
		for _, d := range truth {
			if f, ok := eye.see(d, area); ok {
				all[i] = append(all[i], f)
			}
		}
	}
	return p, truth, all
}

func BenchmarkMerge(b *testing.B) {
	p, truth, all := busySheet(b)
	if p.Len() != 31*31 {
		b.Fatal(p.Len(), "tiles")
	}
	parts := 0
	for _, d := range all {
		parts += len(d)
	}
	m := tiles.NewMerger(p, 1<<16, nmsIoU)
	order := shuffled(p.Len(), 10)
	var got []detect.Detection
	for b.Loop() {
		m.Reset()
		for _, i := range order {
			if err := m.Add(i, all[i]); err != nil {
				b.Fatal(err)
			}
		}
		got = m.Result()
	}
	if len(got) != len(truth) || m.Dropped() > 0 {
		b.Fatal(len(got), "instead of", len(truth))
	}
	b.ReportMetric(float64(parts)/float64(p.Len()), "parts/tile")
}

func TestMergingAgainAllocatesNothing(t *testing.T) {
	p := plan(t, 272, 272, sheetTile, sheetOverlap)
	truth := []detect.Detection{
		{Score: .9, Box: box{100, 100, 140, 140}}, {Score: .8, Box: box{20, 120, 250, 132}},
	}
	all := ideal{rand.New(rand.NewPCG(11, 11))}.look(p, truth)
	m := tiles.NewMerger(p, 100, nmsIoU)
	var last []detect.Detection
	require.Zero(t, testing.AllocsPerRun(20, func() {
		m.Reset()
		for i := range all {
			if err := m.Add(i, all[i]); err != nil {
				t.Error(err)
			}
		}
		last = m.Result()
	}))
	require.Len(t, last, 2)
	require.True(t, slices.IsSortedFunc(last, func(a, b detect.Detection) int {
		return int(1000 * (b.Score - a.Score))
	}))
}
