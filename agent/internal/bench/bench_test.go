package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/bench"
)

func TestWhatCannotBeMeasuredIsRefusedBeforeAnythingRuns(t *testing.T) {
	good := bench.Options{Parts: 2, Rounds: 0, Threads: 1, Parallel: 1, Stations: 1}
	for says, change := range map[string]func(*bench.Options){
		"0 parts":           func(o *bench.Options) { o.Parts = 0 },
		"1 parts":           func(o *bench.Options) { o.Parts = 1 },
		"-100 parts":        func(o *bench.Options) { o.Parts = -100 },
		"-1 rounds":         func(o *bench.Options) { o.Rounds = -1 },
		"0 threads":         func(o *bench.Options) { o.Threads = 0 },
		"-2 runs side by s": func(o *bench.Options) { o.Parallel = -2 },
		"0 stations":        func(o *bench.Options) { o.Stations = 0 },
		"65 stations":       func(o *bench.Options) { o.Stations = 65 },
	} {
		t.Run(says, func(t *testing.T) {
			o := good
			change(&o)
			_, err := bench.Run(t.Context(), o)
			require.ErrorIs(t, err, bench.ErrOptions)
			require.ErrorContains(t, err, says)
			require.ErrorContains(t, err, "take ")
		})
	}
}

func TestFiguresOutsideTheirLimitsAreErrors(t *testing.T) {
	good := bench.Report{Rounds: 1, BeyondModelP50: 1.5, BeyondModelP99: 3, Throughput: 0.95}
	require.NoError(t, good.Check())
	for name, change := range map[string]func(*bench.Report){
		"p50":        func(r *bench.Report) { r.BeyondModelP50 = 1.51 },
		"p99":        func(r *bench.Report) { r.BeyondModelP99 = 3.01 },
		"throughput": func(r *bench.Report) { r.Throughput = 0.94 },
		"unknown":    func(r *bench.Report) { r.Unknown = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			require.ErrorIs(t, r.Check(), bench.ErrLimit)
		})
	}
	latencyOnly := bench.Report{BeyondModelP50: 1, BeyondModelP99: 2}
	require.NoError(t, latencyOnly.Check(), "without rounds there is no throughput to judge")
}
