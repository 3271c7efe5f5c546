package station_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// seeing answers each part as it looks.
func seeing(looks func() (score, mean float32)) fakeworker.Script {
	return fakeworker.Script{Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
		score, mean := looks()
		if !p.Expose(m) {
			return
		}
		p.Send(wire.KindInspected, &wire.Inspected{
			Job: m.GetJob(), ExposedNs: clock(), Width: 640, Height: 640,
			Looked: true, InputMean: mean, InputDeviation: 40,
			InputSharpness: 10, Detections: []*wire.Detection{{Score: score, X2: 20, Y2: 20}},
		})
	}}
}

func TestAStationTellsWhenTheLightHasChanged(t *testing.T) {
	n := 0
	r := start(t, config.ModeMQTT, seeing(func() (float32, float32) {
		n++
		if n <= 52 {
			return 0.01, 120
		}
		return 0.01, 60
	}), func(o *station.Options) {
		o.Recipe.Reference = &bundle.Reference{
			Images: 100, Scores: []int{100, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			Brightness: bundle.Spread{Mean: 120, Deviation: 2},
			Contrast:   bundle.Spread{Mean: 40, Deviation: 2},
			Sharpness:  bundle.Spread{Mean: 10, Deviation: 1},
		}
	})
	level := func(signal string) float64 {
		for _, l := range r.station.Drift() {
			if l.Signal == signal {
				return l.Value
			}
		}
		return -1
	}
	r.feed(52)
	require.InDelta(t, 0, level(drift.Brightness), 1e-6)
	require.Empty(t, r.line.State().Drift)
	for n := range 12 {
		r.trigger(fmt.Sprintf(`{"partId":"D-%d"}`, n))
		r.await(53 + n)
	}
	require.Greater(t, level(drift.Brightness), 1.0)
	require.InDelta(t, 0, level(drift.Contrast), 1e-6)
	require.InDelta(t, 0, level(drift.Scores), 0.01)
	state := r.awaitState(event.Ready)
	require.Contains(t, state.Drift, "darker")
	require.True(t, state.TriggerReady, "it goes on inspecting")
	require.Empty(t, state.Reason)
}

// After a change to a bundle that says nothing of its images, the levels of the one before are gone, also
// when an answer of that one comes late.
func TestLevelsGoWithTheirBundle(t *testing.T) {
	n := 0
	var candidate station.Recipe
	r := start(t, config.ModeMQTT, fakeworker.Script{Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
		n++
		answer := &wire.Inspected{
			Job: m.GetJob(), ExposedNs: clock(), Width: 640, Height: 640, Looked: true, InputMean: 60,
			InputDeviation: 40, InputSharpness: 10,
		}
		if n == 54 { // what it had of this part it found with the bundle before
			p.Send(wire.KindStationState, &wire.StationState{
				Phase: wire.Phase_PHASE_READY, Model: &wire.Model{Digest: "sha256:1"}, Generation: 1,
			})
		}
		if n > 54 {
			answer.Generation = 1
		}
		if p.Expose(m) {
			p.Send(wire.KindInspected, answer)
		}
	}}, func(o *station.Options) {
		o.Recipe.Reference = &bundle.Reference{
			Images: 100, Scores: []int{100, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			Brightness: bundle.Spread{Mean: 120, Deviation: 2},
			Contrast:   bundle.Spread{Mean: 40, Deviation: 2},
			Sharpness:  bundle.Spread{Mean: 10, Deviation: 1},
		}
		next := o.Recipe
		next.Generation, next.Digest, next.Reference = 1, "sha256:1", nil
		candidate = next
	})
	r.feed(53)
	require.NotEmpty(t, r.station.Drift())
	require.NotEmpty(t, r.awaitState(event.Ready).Drift)
	r.station.Adopt(candidate)
	for n := range 2 {
		r.trigger(fmt.Sprintf(`{"partId":"N-%d"}`, n))
		r.await(54 + n)
	}
	require.Empty(t, r.station.Drift())
	require.Empty(t, r.awaitState(event.Ready).Drift)
}

func TestWithoutAReferenceNothingDrifts(t *testing.T) {
	r := start(t, config.ModeMQTT, seeing(func() (float32, float32) { return 0.3, 200 }), nil)
	r.feed(52)
	require.Empty(t, r.station.Drift())
	require.Empty(t, r.line.State().Drift)
}
