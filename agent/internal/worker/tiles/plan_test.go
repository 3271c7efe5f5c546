package tiles_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

func plan(tb testing.TB, width, height, tile, overlap int) *tiles.Plan {
	tb.Helper()
	p, err := tiles.NewPlan(width, height, tile, tile, overlap)
	require.NoError(tb, err)
	return p
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		width, height, tileWidth, tileHeight, overlap int
		want                                          []tiles.Rect
	}{
		"a sheet of one tile":       {640, 640, 640, 640, 64, []tiles.Rect{{0, 0, 640, 640}}},
		"smaller than a tile":       {300, 200, 640, 640, 64, []tiles.Rect{{0, 0, 300, 200}}},
		"one tile needs no overlap": {300, 200, 640, 640, 0, []tiles.Rect{{0, 0, 300, 200}}},
		"smaller in one direction": {
			1000, 200, 640, 640, 64,
			[]tiles.Rect{{0, 0, 640, 200}, {360, 0, 640, 200}},
		},
		"one pixel more than a tile": {
			100, 101, 100, 100, 10,
			[]tiles.Rect{{0, 0, 100, 100}, {0, 1, 100, 100}},
		},
		"exactly two by two, not square": {
			190, 110, 100, 60, 10,
			[]tiles.Rect{{0, 0, 100, 60}, {90, 0, 100, 60}, {0, 50, 100, 60}, {90, 50, 100, 60}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tiles.NewPlan(c.width, c.height, c.tileWidth, c.tileHeight, c.overlap)
			require.NoError(t, err)
			got := make([]tiles.Rect, p.Len())
			for i := range got {
				got[i] = p.Tile(i)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestPlansThatCannotBeAreRefusedWithAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		width, height, tileWidth, tileHeight, overlap int
		advice                                        string
	}{
		"no width":           {0, 10, 64, 64, 8, "1 to 65536"},
		"negative height":    {10, -1, 64, 64, 8, "1 to 65536"},
		"too high":           {10, 65537, 64, 64, 8, "1 to 65536"},
		"no tile":            {10, 10, 0, 64, 8, "1 to 65536"},
		"absurd tile":        {10, 10, 64, 1 << 40, 8, "1 to 65536"},
		"no overlap":         {1000, 10, 64, 64, 0, "take 8 or more"},
		"negative overlap":   {1000, 10, 64, 64, -5, "take 8 or more"},
		"overlap of a tile":  {1000, 10, 64, 64, 64, "at most half a tile"},
		"more than half":     {1000, 10, 64, 64, 33, "at most half a tile"},
		"too many tiles":     {65536, 65536, 64, 64, 8, "larger tiles or less overlap"},
		"tiles of one pixel": {65536, 65536, 1, 1, 8, "at most half a tile"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tiles.NewPlan(c.width, c.height, c.tileWidth, c.tileHeight, c.overlap)
			require.ErrorIs(t, err, tiles.ErrPlan)
			require.ErrorContains(t, err, c.advice)
		})
	}
}

func TestTilesCoverTheSheetAndOverlapEnough(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		tile := 16 + random.IntN(200)
		overlap := 8 + random.IntN(tile/2-7)
		width, height := 1+random.IntN(1500), 1+random.IntN(1500)
		p := plan(t, width, height, tile, overlap)
		columns := 0
		for columns < p.Len() && p.Tile(columns).Y == 0 {
			columns++
		}
		for i := range p.Len() {
			r := p.Tile(i)
			require.Equal(t, min(tile, width), r.Width)
			require.Equal(t, min(tile, height), r.Height)
			if i%columns == 0 {
				require.Zero(t, r.X)
			} else {
				require.GreaterOrEqual(t, p.Tile(i-1).X+tile-r.X, overlap)
			}
			if i < columns {
				require.Zero(t, r.Y)
			} else {
				require.GreaterOrEqual(t, p.Tile(i-columns).Y+tile-r.Y, overlap)
			}
		}
		last := p.Tile(p.Len() - 1)
		require.Equal(t, [2]int{width, height}, [2]int{last.X + last.Width, last.Y + last.Height})
	}
}
