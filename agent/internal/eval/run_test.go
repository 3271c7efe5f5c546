package eval_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	require.InDelta(t, 0, eval.Quantile(nil, 0.5), 0)
	require.InDelta(t, 2, eval.Quantile([]float64{3, 1, 2}, 0.5), 0)
	require.InDelta(t, 3, eval.Quantile([]float64{3, 1, 2}, 0.99), 0)
}
