package verdict_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestMeasuresAreNamedAsInTheBundle(t *testing.T) {
	limit := 0.3
	then := &bundle.Then{Decoder: bundle.Decoder{Family: bundle.FamilyMeasure, Measures: []bundle.Measure{
		{Name: "width", Unit: "mm", Max: &limit}, {Name: "angle"},
	}}}
	r, err := verdict.Compile(config.Verdict{}, &bundle.Manifest{
		Task: bundle.TaskDetection, Then: then,
		Classes: []bundle.Class{{Name: "trace", Threshold: 0.5}, {Name: "width", Threshold: 0.5}},
	})
	require.NoError(t, err)
	found := func(measures ...float32) *wire.Detection {
		d := whole(1, 0.9)
		d.Measures = measures
		return d
	}
	out := r.Judge(answer(found(0.31, -2), found(), found(0.4, 5)))
	require.Equal(t, event.Fail, out.Verdict)
	require.Equal(t, []event.Measure{{Name: "width", Value: 0.31, Unit: "mm"}, {Name: "angle", Value: -2}},
		out.Defects[0].Measures)
	require.Empty(t, out.Defects[1].Measures)
	require.InDelta(t, 0.4, out.Defects[2].Measures[0].Value, 1e-6, "each has its own")
	for name, measures := range map[string][]float32{
		"too few": {1}, "too many": {1, 2, 3}, "NaN": {float32(math.NaN()), 1},
		"infinite": {1, float32(math.Inf(1))},
	} {
		out = r.Judge(answer(found(measures...)))
		require.Equal(t, event.Unknown, out.Verdict, name)
		require.Equal(t, verdict.ReasonBadOutput, out.Reason)
	}
}
