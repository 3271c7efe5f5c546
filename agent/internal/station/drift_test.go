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
			Job: m.GetJob(), ExposedNs: clock(), Width: 640, Height: 640, InputMean: mean, InputDeviation: 40,
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

func TestWithoutAReferenceNothingDrifts(t *testing.T) {
	r := start(t, config.ModeMQTT, seeing(func() (float32, float32) { return 0.3, 200 }), nil)
	r.feed(52)
	require.Empty(t, r.station.Drift())
	require.Empty(t, r.line.State().Drift)
}
