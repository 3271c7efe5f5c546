package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/bench"
)

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
