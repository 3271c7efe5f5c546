package compare_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/align/boardtest"
	"github.com/sightline-edge/sightline/agent/internal/worker/compare"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

const (
	heldOutGroup = "50600"
	blockShare   = 0.13
	gap          = 4
	same         = 0.33 // a finding of more than this IoU is the defect, as in the paper of the data set
)

// split is that of models/training/boards.py: `group` is one board group, `block` the last ids of each other
// one, `train` the rest. What compare does by default was chosen on train.
func split(ids []string) map[string][]string {
	parts := map[string][]string{}
	groups := map[string][]string{}
	var order []string
	for _, id := range ids {
		g := id[:5]
		if g == heldOutGroup {
			parts["group"] = append(parts["group"], id)
			continue
		}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], id)
	}
	for _, g := range order {
		members := groups[g]
		start := len(members) - int(math.RoundToEven(float64(len(members))*blockShare))
		parts["train"] = append(parts["train"], members[:max(start-gap, 0)]...)
		parts["block"] = append(parts["block"], members[start:]...)
	}
	return parts
}

// tally counts a part's findings.
type tally struct{ hits, falseAlarms, defects int }

func (t *tally) recall() float64    { return float64(t.hits) / float64(t.defects) }
func (t *tally) precision() float64 { return float64(t.hits) / float64(max(t.hits+t.falseAlarms, 1)) }

// add matches the most certain findings first, each defect once, whatever its class.
func (t *tally) add(found []detect.Detection, b *boardtest.Board) {
	taken := make([]bool, len(b.Defects))
	for _, f := range found {
		best, most := -1, float32(same)
		for i, d := range b.Defects {
			box := [4]float32{float32(d.Min.X), float32(d.Min.Y), float32(d.Max.X), float32(d.Max.Y)}
			if iou := detect.IoU(f.Box, box); !taken[i] && iou > most {
				best, most = i, iou
			}
		}
		if best < 0 {
			t.falseAlarms++
			continue
		}
		taken[best] = true
		t.hits++
	}
	t.defects += len(b.Defects)
}

// inspect aligns and compares one board.
func inspect(tb testing.TB, b *boardtest.Board, o compare.Options) []detect.Detection {
	tb.Helper()
	golden, err := align.NewGolden(b.Template, b.Width, b.Height)
	require.NoError(tb, err)
	moved := make([]byte, len(b.Test))
	fit := align.New(golden).Align(moved, b.Test)
	require.True(tb, fit.Aligned() && fit.Unseen <= align.MaxUnseen(b.Width, b.Height), "%s: %+v", b.ID, fit)
	c, err := compare.New(b.Width, b.Height, o)
	require.NoError(tb, err)
	return c.Compare(b.Test, moved)
}

// What is asked of a comparison without a model: recall 0.98 and precision 0.90. `block` chose nothing.
func TestDefectsOfRealBoardsAreFoundWithoutAModel(t *testing.T) {
	dir := boardtest.Dataset(t)
	parts := split(boardtest.IDs(t, dir, 1))
	for _, c := range []struct {
		part         string
		whole, every int
	}{{"train", 4, 32}, {"block", 1, 4}, {"group", 1, 1}} {
		t.Run(c.part, func(t *testing.T) {
			if boardtest.Whole() {
				c.every = c.whole
			}
			var sum tally
			for i := 0; i < len(parts[c.part]); i += c.every {
				b := boardtest.Load(t, dir, parts[c.part][i])
				sum.add(inspect(t, &b, compare.Options{}), &b)
			}
			t.Logf("%d defects: recall %.4f, precision %.4f", sum.defects, sum.recall(), sum.precision())
			require.GreaterOrEqual(t, sum.recall(), 0.98)
			require.GreaterOrEqual(t, sum.precision(), 0.90)
		})
	}
}

// BenchmarkInspect aligns and compares real boards; templates are ready.
func BenchmarkInspect(b *testing.B) {
	dir := boardtest.Dataset(b)
	var boards []boardtest.Board
	var aligners []*align.Aligner
	for _, id := range boardtest.IDs(b, dir, 50) {
		board := boardtest.Load(b, dir, id)
		golden, err := align.NewGolden(board.Template, board.Width, board.Height)
		require.NoError(b, err)
		boards, aligners = append(boards, board), append(aligners, align.New(golden))
	}
	c, err := compare.New(boards[0].Width, boards[0].Height, compare.Options{})
	require.NoError(b, err)
	moved := make([]byte, len(boards[0].Test))
	found := 0
	var aligning time.Duration
	n := 0
	for b.Loop() {
		k := n % len(boards)
		start := time.Now()
		aligners[k].Align(moved, boards[k].Test)
		aligning += time.Since(start)
		found += len(c.Compare(boards[k].Test, moved))
		n++
	}
	b.ReportMetric(float64(aligning.Microseconds())/float64(n)/1e3, "ms/align")
	b.ReportMetric(float64(b.Elapsed()-aligning)/float64(n)/1e6, "ms/compare")
	require.Greater(b, found, n, "boards have defects")
}
