package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func TestHeatLevelsKeepTheOrderOfScoresAndTheThreshold(t *testing.T) {
	half := int(wire.HeatLevel(0.5))
	require.Equal(t, wire.HeatLevels/2, half)
	require.EqualValues(t, half-1, wire.HeatLevel(0.5-1e-9))
	require.Zero(t, wire.HeatLevel(-1e30))
	require.EqualValues(t, wire.HeatLevels-1, wire.HeatLevel(1e30))
	for level := range wire.HeatLevels {
		score := wire.HeatScore(level)
		require.InDelta(t, level, wire.HeatLevel(score+1e-9), 0)
	}
}
