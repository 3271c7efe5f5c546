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
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The first model's finding would have counted: if more were asked of the second one's class, doubt would
// pass.
func TestClassesOfASecondModelHaveTheBundlesThreshold(t *testing.T) {
	m := &bundle.Manifest{Task: bundle.TaskDetection, Then: &bundle.Then{Classes: []bundle.Class{
		{Name: "fine", Threshold: 0.8, Good: true}, {Name: "bridge", Threshold: 0.5},
	}}}
	m.Classes = append([]bundle.Class{{Name: "suspect", Threshold: 0.25}}, m.Then.Classes...)
	at := func(class string, rule config.ClassRule) map[string]config.ClassRule {
		return map[string]config.ClassRule{class: rule}
	}
	for path, cfg := range map[string]config.Verdict{
		"verdict.classes.fine.threshold":   {Classes: at("fine", config.ClassRule{Threshold: new(0.99)})},
		"verdict.classes.bridge.threshold": {Classes: at("bridge", config.ClassRule{Threshold: new(0.7)})},
		"verdict.zones[0].classes.bridge.threshold": {Zones: []config.Zone{{
			Name: "z", Classes: at("bridge", config.ClassRule{Threshold: new(0.1)}),
		}}},
	} {
		_, err := verdict.Compile(cfg, m)
		var faults strictyaml.Faults
		require.ErrorAs(t, err, &faults)
		require.Len(t, faults, 1)
		require.Equal(t, path, faults[0].Path)
		require.Contains(t, faults[0].Problem, "is of the bundle's second model")
		require.Contains(t, faults[0].Remedy, "change the threshold in bundle.yaml")
	}
	for class, rule := range map[string]config.ClassRule{
		"suspect": {Threshold: new(0.7)}, "bridge": {Verdict: config.RuleIgnore, MinSize: new(3.0)},
	} {
		_, err := verdict.Compile(config.Verdict{Classes: at(class, rule)}, m)
		require.NoError(t, err, class)
	}
}

func TestFalseAlarmsNeverCountAndAreNearTheirThreshold(t *testing.T) {
	m := &bundle.Manifest{Task: bundle.TaskDetection, Then: &bundle.Then{Classes: []bundle.Class{
		{Name: "fine", Threshold: 0.8, Good: true},
	}}}
	m.Classes = append([]bundle.Class{{Name: "suspect", Threshold: 0.25}}, m.Then.Classes...)
	r, err := verdict.Compile(config.Verdict{}, m)
	require.NoError(t, err)
	found := answer(whole(1, 0.82))
	require.Equal(t, event.Pass, r.Judge(found).Verdict)
	require.InDelta(t, 0.02, r.Doubt(found), 1e-6)
	require.Zero(t, r.Highest(found))
}

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
