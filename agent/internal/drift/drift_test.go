package drift_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/models/bundle"
)

func reference() *bundle.Reference {
	return &bundle.Reference{
		Images: 200, Scores: []int{160, 20, 10, 6, 4, 0, 0, 0, 0, 0},
		Brightness: bundle.Spread{Mean: 120, Deviation: 5}, Contrast: bundle.Spread{Mean: 40, Deviation: 1},
		Sharpness: bundle.Spread{Mean: 10, Deviation: 0.1},
	}
}

// line draws parts as the reference has them, changed.
func line(seed uint64, change func(*drift.Seen)) func() drift.Seen {
	random := rand.New(rand.NewPCG(seed, 7))
	return func() drift.Seen {
		score := random.Float64() * 0.1
		for at, tail := 1, random.Float64(); at < 5; at++ {
			if tail < []float64{0, 0.2, 0.1, 0.05, 0.02}[at] {
				score = float64(at)/10 + random.Float64()*0.1
			}
		}
		s := drift.Seen{
			Passed: true, Score: score, Looked: true, Mean: 120 + 5*random.NormFloat64(),
			Deviation: 40 + random.NormFloat64(), Sharpness: 10 + 0.1*random.NormFloat64(),
		}
		if change != nil {
			change(&s)
		}
		return s
	}
}

func levels(w *drift.Watch) map[string]float64 {
	all := map[string]float64{}
	for _, l := range w.Levels() {
		all[l.Signal] = l.Value
	}
	return all
}

func TestPartsAsInTheReferenceRaiseNoAlarm(t *testing.T) {
	for seed := range uint64(20) {
		w, next := drift.New(reference()), line(seed, nil)
		for n := range 5000 {
			require.False(t, w.Add(next()), "seed %d, part %d: %s", seed, n, w.Sentence())
		}
		require.Len(t, w.Levels(), 4)
		require.Empty(t, w.Sentence())
	}
}

func TestWhatHasDriftedIsNamedOnce(t *testing.T) {
	for _, c := range []struct {
		signal, says string
		change       func(*drift.Seen)
	}{
		{drift.Brightness, "brighter", func(s *drift.Seen) { s.Mean += 25 }},
		{drift.Brightness, "darker", func(s *drift.Seen) { s.Mean -= 25 }},
		{drift.Contrast, "less contrast", func(s *drift.Seen) { s.Deviation -= 12 }},
		{drift.Contrast, "more contrast", func(s *drift.Seen) { s.Deviation += 12 }},
		{drift.Sharpness, "less sharp", func(s *drift.Seen) { s.Sharpness -= 3 }},
		{drift.Sharpness, "sharper or noisier", func(s *drift.Seen) { s.Sharpness += 3 }},
		{drift.Scores, "score otherwise", func(s *drift.Seen) { s.Score = min(s.Score+0.2, 1) }},
	} {
		t.Run(c.says, func(t *testing.T) {
			w, good, bad := drift.New(reference()), line(1, nil), line(2, c.change)
			for range 300 {
				require.False(t, w.Add(good()))
			}
			news := 0
			for range 300 {
				if w.Add(bad()) {
					news++
				}
			}
			require.Equal(t, 1, news, "said once, without flicker")
			require.Contains(t, w.Sentence(), c.says)
			for signal, value := range levels(w) {
				require.Equal(t, signal == c.signal, value >= 1, "%s %g", signal, value)
			}
			for range 300 {
				if w.Add(good()) {
					news++
				}
			}
			require.Equal(t, 2, news)
			require.Empty(t, w.Sentence(), "it is well again")
		})
	}
}

// Of two products, whose boards differ in brightness, a batch of one is no drift; a lamp that goes dim is.
func TestABatchOfOneProductIsNoDrift(t *testing.T) {
	r := reference()
	r.Brightness = bundle.Spread{Mean: 120, Deviation: 40}
	w := drift.New(r)
	batch := line(3, func(s *drift.Seen) { s.Mean += 40 })
	for range 1000 {
		require.False(t, w.Add(batch()), w.Sentence())
	}
	dim := line(4, func(s *drift.Seen) { s.Mean = (s.Mean - 40) * 0.6 })
	for range 300 {
		w.Add(dim())
	}
	require.Contains(t, w.Sentence(), "darker")
}

func TestTooFewPartsSayNothing(t *testing.T) {
	w := drift.New(reference())
	for range 49 {
		require.False(t, w.Add(drift.Seen{Passed: true, Score: 0.9, Looked: true, Mean: 250}))
		require.Empty(t, w.Levels())
	}
	require.True(t, w.Add(drift.Seen{Passed: true, Score: 0.9, Looked: true, Mean: 250}))
	require.Len(t, w.Levels(), 4)
}

func TestRejectedPartsAndUnknownInputsAreLeftOut(t *testing.T) {
	w := drift.New(reference())
	for range 500 {
		require.False(t, w.Add(drift.Seen{Score: 0.99}), "a defect is no drift of the model")
	}
	require.Empty(t, w.Levels())
}

func TestABlackFrameIsSeen(t *testing.T) {
	w := drift.New(reference())
	for range 60 {
		w.Add(drift.Seen{Passed: true, Looked: true})
	}
	require.Contains(t, w.Sentence(), "darker")
	require.Len(t, w.Levels(), 4)
}

func TestScoresFallIntoTenths(t *testing.T) {
	for score, bin := range map[float64]int{
		0: 0, 0.0999: 0, 0.1: 1, 0.55: 5, 0.95: 9, 1: 9, 7: 9, -1: 0, math.Inf(-1): 0,
	} {
		require.Equal(t, bin, drift.Bin(score), score)
	}
	require.Equal(t, 0, drift.Bin(math.NaN()))
}
