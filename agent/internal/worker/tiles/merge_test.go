package tiles_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

const nmsIoU = 0.5

type box = [4]float32

// found is what each tile shows.
type found = map[int][]detect.Detection

func one(score float32, b box) []detect.Detection { return []detect.Detection{{Score: score, Box: b}} }

func merge(t *testing.T, p *tiles.Plan, parts found) []detect.Detection {
	t.Helper()
	m := tiles.NewMerger(p, 1000, nmsIoU)
	for tile, d := range parts {
		require.NoError(t, m.Add(tile, d))
	}
	require.Zero(t, m.Dropped())
	return m.Result()
}

// The sheet has 2 × 2 tiles of 100 that overlap by 20: [0, 100) and [80, 180) in both directions. Tile 1 is
// right of tile 0, tile 2 below it.
func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		parts found
		want  []detect.Detection
	}{
		"nothing": {found{0: nil, 3: {}}, nil},
		"inside of one tile": {
			found{0: one(.9, box{10, 10, 30, 30})}, one(.9, box{10, 10, 30, 30}),
		},
		"whole in two: the box where it lies deeper, the better score": {
			found{0: one(.9, box{82, 10, 96, 30}), 1: one(.8, box{83, 10, 96, 30})},
			one(.9, box{82, 10, 96, 30}),
		},
		"boxes of one defect that differ more than suppression allows": { // IoU 0.41
			found{0: one(.8, box{83, 10, 91, 26}), 1: one(.9, box{84, 10, 96, 34})},
			one(.9, box{83, 10, 91, 26}),
		},
		"whole in four": {
			found{
				0: one(.6, box{83, 83, 95, 95}), 1: one(.7, box{84, 83, 96, 95}),
				2: one(.8, box{83, 84, 95, 96}), 3: one(.9, box{84, 84, 96, 96}),
			},
			one(.9, box{83, 83, 95, 95}), // five from the seams of its tile, the others four
		},
		"cut in one, whole in the other": {
			found{0: one(.9, box{70, 10, 96, 30}), 1: one(.5, box{80, 10, 96, 30})},
			one(.9, box{70, 10, 96, 30}),
		},
		"a piece that its tile takes for another class": {
			found{
				0: {{Class: 1, Score: .9, Box: box{70, 10, 96, 30}}},
				1: {{Class: 2, Score: .95, Box: box{80, 10, 96, 30}}},
			},
			[]detect.Detection{{Class: 1, Score: .9, Box: box{70, 10, 96, 30}}},
		},
		"two pieces at a corner that their tiles take for one other class": {
			found{
				0: {{Class: 1, Score: .9, Box: box{83, 70, 96, 96}}},
				1: {{Class: 1, Score: .8, Box: box{84, 70, 96, 96}}},
				2: {{Class: 2, Score: .95, Box: box{83, 80, 96, 96}}},
				3: {{Class: 2, Score: .7, Box: box{84, 80, 96, 95}}},
			},
			[]detect.Detection{{Class: 1, Score: .9, Box: box{84, 70, 96, 96}}},
		},
		"a piece of another class whose partner is whole": {
			found{
				0: {{Class: 1, Score: .9, Box: box{83, 70, 96, 96}}},
				1: {{Class: 1, Score: .8, Box: box{84, 70, 96, 96}}},
				2: {{Class: 2, Score: .95, Box: box{83, 80, 96, 96}}},
				3: {{Class: 2, Score: .7, Box: box{84, 83, 96, 110}}},
			},
			[]detect.Detection{
				{Class: 2, Score: .95, Box: box{84, 83, 96, 110}},
				{Class: 1, Score: .9, Box: box{84, 70, 96, 96}},
			},
		},
		"a piece that its tile takes for two classes": {
			found{
				0: {{Class: 1, Score: .9, Box: box{70, 10, 96, 30}}},
				1: {
					{Class: 2, Score: .95, Box: box{80, 10, 96, 30}},
					{Class: 1, Score: .1, Box: box{80, 11, 96, 30}},
				},
			},
			[]detect.Detection{{Class: 1, Score: .9, Box: box{70, 10, 96, 30}}},
		},
		"a piece whose partner of its class is there, beside one of another": {
			found{
				0: {
					{Class: 1, Score: .9, Box: box{70, 10, 96, 30}},
					{Class: 2, Score: .7, Box: box{70, 12, 96, 32}},
				},
				1: {{Class: 2, Score: .6, Box: box{80, 12, 96, 32}}},
			},
			[]detect.Detection{
				{Class: 1, Score: .9, Box: box{70, 10, 96, 30}},
				{Class: 2, Score: .7, Box: box{70, 12, 96, 32}},
			},
		},
		"a piece that looks like what its whole is hardly taken for": {
			found{
				0: {
					{Class: 1, Score: .9, Box: box{70, 10, 96, 30}},
					{Class: 2, Score: .1, Box: box{70, 12, 96, 32}},
				},
				1: {{Class: 2, Score: .8, Box: box{80, 12, 96, 32}}},
			},
			[]detect.Detection{
				{Class: 1, Score: .9, Box: box{70, 10, 96, 30}},
				{Class: 2, Score: .1, Box: box{70, 12, 96, 32}},
			},
		},
		"the piece has the better score": {
			found{0: one(.5, box{70, 10, 96, 30}), 1: one(.9, box{81, 11, 95, 30})},
			one(.9, box{70, 10, 96, 30}),
		},
		"cut in three at the corner, whole in one": {
			found{
				0: one(.9, box{70, 70, 96, 96}), 1: one(.5, box{80, 70, 96, 96}),
				2: one(.5, box{70, 80, 96, 96}), 3: one(.5, box{80, 80, 96, 96}),
			},
			one(.9, box{70, 70, 96, 96}),
		},
		"seen by the tile alone that does not have its centre": {
			found{0: nil, 1: one(.5, box{81, 10, 86, 30})}, one(.5, box{81, 10, 86, 30}),
		},
		"longer than the overlap": {
			found{0: one(.7, box{50, 10, 100, 30}), 1: one(.8, box{80, 11, 130, 30})},
			one(.8, box{50, 10, 130, 30}),
		},
		"longer than the overlap, but whole in one": {
			found{0: one(.7, box{50, 10, 100, 30}), 1: one(.8, box{80, 10, 101, 30}), 2: nil},
			one(.8, box{50, 10, 101, 30}),
		},
		"a piece that ends before the seam though the defect goes on": {
			found{0: one(.9, box{40, 10, 95, 30}), 1: one(.7, box{80, 10, 140, 30})},
			one(.9, box{40, 10, 140, 30}),
		},
		"as large as the sheet": {
			found{
				0: one(.6, box{5, 5, 100, 100}), 1: one(.7, box{80, 5, 175, 100}),
				2: one(.8, box{5, 80, 100, 175}), 3: one(.9, box{80, 80, 175, 175}),
			},
			one(.9, box{5, 5, 175, 175}),
		},
		"a diagonal scratch": { // IoU in the overlap 20/160
			found{0: one(.8, box{10, 5, 100, 50}), 1: one(.8, box{80, 40, 170, 85})},
			one(.8, box{10, 5, 170, 85}),
		},
		"two long ones side by side": {
			found{
				0: {{Score: .8, Box: box{10, 10, 100, 20}}, {Score: .7, Box: box{10, 21, 100, 31}}},
				1: {{Score: .7, Box: box{80, 10, 170, 20}}, {Score: .6, Box: box{80, 21, 170, 31}}},
			},
			[]detect.Detection{
				{Score: .8, Box: box{10, 10, 170, 20}}, {Score: .7, Box: box{10, 21, 170, 31}},
			},
		},
		"two close ones, and one tile misses one of them": {
			found{
				0: {{Score: .8, Box: box{82, 10, 90, 20}}, {Score: .7, Box: box{82, 18, 90, 28}}},
				1: one(.6, box{82, 19, 90, 28}),
			},
			[]detect.Detection{
				{Score: .8, Box: box{82, 10, 90, 20}}, {Score: .7, Box: box{82, 18, 90, 28}},
			},
		},
		"two close ones, and each tile misses another": {
			found{0: one(.8, box{82, 10, 90, 20}), 1: one(.6, box{82, 21, 90, 31})},
			[]detect.Detection{
				{Score: .8, Box: box{82, 10, 90, 20}}, {Score: .6, Box: box{82, 21, 90, 31}},
			},
		},
		"one that ends at the seam and one that starts behind it": {
			found{0: one(.8, box{60, 10, 79, 30}), 1: one(.7, box{101, 10, 120, 30})},
			[]detect.Detection{
				{Score: .8, Box: box{60, 10, 79, 30}}, {Score: .7, Box: box{101, 10, 120, 30}},
			},
		},
		"a sliver beside the end that the neighbour sees": {
			found{0: one(.8, box{60, 10, 79.5, 30}), 1: one(.3, box{80, 12, 81, 29})},
			one(.8, box{60, 10, 79.5, 30}),
		},
		"slivers of two tiles that agree with each other only": {
			found{
				0: one(.8, box{82, 60, 95, 79.5}), 2: one(.3, box{82, 80, 95, 81.8}),
				3: one(.3, box{82, 80, 95, 81.8}),
			},
			one(.8, box{82, 60, 95, 79.5}),
		},
		"a tile's own small one inside a large one": {
			found{
				0: {{Score: .8, Box: box{60, 10, 96, 40}}, {Score: .7, Box: box{81, 12, 86, 16}}},
				1: {{Score: .6, Box: box{80, 10, 96, 40}}, {Score: .5, Box: box{81, 12, 86, 16}}},
			},
			[]detect.Detection{
				{Score: .8, Box: box{60, 10, 96, 40}}, {Score: .7, Box: box{81, 12, 86, 16}},
			},
		},
		"a small one inside of a large one, which the other tile misses": {
			found{0: one(.8, box{60, 10, 96, 40}), 1: one(.7, box{84, 12, 89, 16})},
			[]detect.Detection{
				{Score: .8, Box: box{60, 10, 96, 40}}, {Score: .7, Box: box{84, 12, 89, 16}},
			},
		},
		"a piece whose whole is known is not absorbed by a large one": {
			found{
				0: one(.8, box{79, 82, 86, 88}), 1: one(.6, box{80, 82, 86, 88}),
				2: one(.7, box{50, 83, 97, 130}),
			},
			[]detect.Detection{
				{Score: .8, Box: box{79, 82, 86, 88}}, {Score: .7, Box: box{50, 83, 97, 130}},
			},
		},
		"whole in two, deeper in the right one": {
			found{0: one(.9, box{85, 10, 97, 30}), 1: one(.8, box{85, 11, 97, 30})},
			one(.9, box{85, 11, 97, 30}),
		},
		"a partner goes to the one that it agrees with best": {
			found{
				0: {{Score: .8, Box: box{82, 10, 92, 20}}, {Score: .7, Box: box{82, 14, 92, 24}}},
				1: one(.9, box{82, 14.5, 92, 24}),
			},
			[]detect.Detection{
				{Score: .9, Box: box{82, 14, 92, 24}}, {Score: .8, Box: box{82, 10, 92, 20}},
			},
		},
		"a partner between two goes to the worthier": {
			found{
				0: {{Score: .7, Box: box{82, 16, 92, 26}}, {Score: .8, Box: box{82, 10, 92, 20}}},
				1: one(.9, box{82, 13, 92, 23}),
			},
			[]detect.Detection{
				{Score: .9, Box: box{82, 10, 92, 20}}, {Score: .7, Box: box{82, 16, 92, 26}},
			},
		},
		"whose best partner has a better one takes the next": {
			found{
				0: {{Score: .8, Box: box{82, 14, 92, 24}}, {Score: .7, Box: box{82, 18, 92, 28}}},
				1: {{Score: .6, Box: box{84, 10, 92, 20}}, {Score: .5, Box: box{84, 17, 92, 27}}},
			},
			[]detect.Detection{
				{Score: .8, Box: box{82, 14, 92, 24}}, {Score: .7, Box: box{82, 18, 92, 28}},
			},
		},
		"two of one tile stay two though a third tile's box resembles both": {
			found{
				0: {{Score: .9, Box: box{82, 82, 92, 92}}, {Score: .8, Box: box{82, 86, 92, 96}}},
				1: one(.7, box{82, 82, 92, 92}),
				2: one(.6, box{82, 85.5, 92, 96}),
			},
			[]detect.Detection{
				{Score: .9, Box: box{82, 82, 92, 92}}, {Score: .8, Box: box{82, 85.5, 92, 96}},
			},
		},
		"a sliver a little off the seam": {
			found{0: one(.8, box{60, 10, 79.5, 30}), 1: one(.3, box{80.5, 12, 81.8, 29})},
			one(.8, box{60, 10, 79.5, 30}),
		},
		"a sliver is not absorbed along the seam": {
			found{0: one(.8, box{60, 10, 96, 30}), 1: one(.3, box{80, 30, 84, 32})},
			[]detect.Detection{
				{Score: .8, Box: box{60, 10, 96, 30}}, {Score: .3, Box: box{80, 30, 84, 32}},
			},
		},
		"nor along the seam at the sheet's edge": {
			found{0: one(.8, box{60, 2.2, 96, 30}), 1: one(.3, box{80, 0, 84, 2})},
			[]detect.Detection{
				{Score: .8, Box: box{60, 2.2, 96, 30}}, {Score: .3, Box: box{80, 0, 84, 2}},
			},
		},
		"classes stay apart": {
			found{
				0: one(.9, box{83, 10, 96, 30}),
				1: {{Class: 1, Score: .8, Box: box{83, 10, 96, 30}}},
			},
			[]detect.Detection{
				{Score: .9, Box: box{83, 10, 96, 30}}, {Class: 1, Score: .8, Box: box{83, 10, 96, 30}},
			},
		},
		"at the sheet's edge nothing is cut": {
			found{0: one(.9, box{0, 0, 20, 20}), 3: one(.8, box{170, 160, 180, 180})},
			[]detect.Detection{
				{Score: .9, Box: box{0, 0, 20, 20}}, {Score: .8, Box: box{170, 160, 180, 180}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := merge(t, plan(t, 180, 180, 100, 20), c.parts)
			require.Len(t, got, len(c.want))
			for i := range c.want {
				require.Equal(t, c.want[i], got[i])
			}
		})
	}
}

func TestAddRefusesWhatIsNotOfTheTile(t *testing.T) {
	nan := float32(math.NaN())
	m := tiles.NewMerger(plan(t, 180, 180, 100, 20), 10, nmsIoU)
	for name, c := range map[string]struct {
		tile int
		box  box
	}{
		"before the first tile": {-1, box{10, 10, 20, 20}},
		"behind the last tile":  {4, box{10, 10, 20, 20}},
		"another tile's box":    {0, box{120, 10, 140, 20}},
		"tile pixels":           {3, box{10, 10, 20, 20}},
		"over the seam":         {0, box{90, 10, 103, 20}},
		"no width":              {0, box{20, 10, 20, 20}},
		"upside down":           {0, box{10, 20, 20, 10}},
		"not a number":          {0, box{nan, 10, 20, 20}},
		"infinite":              {0, box{10, 10, 20, float32(math.Inf(1))}},
	} {
		t.Run(name, func(t *testing.T) {
			err := m.Add(c.tile, append(one(.9, box{82, 82, 99, 99}), detect.Detection{Box: c.box}))
			require.ErrorIs(t, err, tiles.ErrTile)
			require.Empty(t, m.Result())
		})
	}
	require.NoError(t, m.Add(0, one(.9, box{90, 10, 100.5, 20})))
	require.Equal(t, one(.9, box{90, 10, 100, 20}), m.Result(), "rounding is cut off")
	require.ErrorIs(t, m.Add(0, nil), tiles.ErrTile, "added before")
}

func TestResetStartsTheNextSheet(t *testing.T) {
	m := tiles.NewMerger(plan(t, 180, 180, 100, 20), 1, nmsIoU)
	for range 3 {
		require.NoError(t, m.Add(0, one(.9, box{10, 10, 20, 20})))
		require.NoError(t, m.Add(1, one(.8, box{110, 10, 120, 20})))
		require.Equal(t, one(.9, box{10, 10, 20, 20}), m.Result())
		require.Equal(t, one(.9, box{10, 10, 20, 20}), m.Result(), "asking twice changes nothing")
		require.Equal(t, 1, m.Dropped())
		m.Reset()
		require.Empty(t, m.Result())
		require.Zero(t, m.Dropped())
	}
}

// 100 tiles with 50 findings each, of which 20 may stay.
func TestTheLimitKeepsTheBest(t *testing.T) {
	p := plan(t, 10*90+10, 10*90+10, 100, 10)
	m := tiles.NewMerger(p, 20, nmsIoU)
	for _, tile := range shuffled(p.Len(), 7) {
		area, d := p.Tile(tile), make([]detect.Detection, 50)
		for i := range d {
			x, y := float32(area.X+12+i%10*7), float32(area.Y+12+i/10*7)
			d[i] = detect.Detection{Score: float32(50*tile+i) / 5000, Box: box{x, y, x + 5, y + 5}}
		}
		require.NoError(t, m.Add(tile, d))
	}
	got := m.Result()
	require.Len(t, got, 20)
	for i, d := range got {
		require.InDelta(t, float32(4999-i)/5000, d.Score, 1e-6)
	}
	require.Equal(t, 5000-20, m.Dropped())
}

func TestTheLimitLeavesRoomForThePiecesOfADefect(t *testing.T) {
	p := plan(t, 180, 180, 100, 20)
	all := found{
		0: one(.6, box{5, 5, 100, 100}), 1: one(.7, box{80, 5, 175, 100}), 2: one(.8, box{5, 80, 100, 175}),
		3: {{Score: .9, Box: box{80, 80, 175, 175}}, {Score: .1, Box: box{150, 150, 160, 160}}},
	}
	for seed := range uint64(24) {
		m := tiles.NewMerger(p, 1, nmsIoU)
		for _, tile := range shuffled(p.Len(), seed) {
			require.NoError(t, m.Add(tile, all[tile]))
		}
		require.Equal(t, one(.9, box{5, 5, 175, 175}), m.Result())
		require.Equal(t, 1, m.Dropped())
	}
}

func TestHostileLimitsAllocateNothingAhead(t *testing.T) {
	p := plan(t, 180, 180, 100, 20)
	for _, limit := range []int{math.MinInt, -1, 0, 1, math.MaxInt} {
		m := tiles.NewMerger(p, limit, nmsIoU)
		require.NoError(t, m.Add(0, one(.9, box{10, 10, 20, 20})))
		require.Len(t, m.Result(), 1, "limit %d", limit)
	}
}
