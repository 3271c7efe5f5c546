package station_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// beside is a worker that inspects beside a golden template.
func beside(p *fakeworker.Peer, _ *wire.Configure) {
	p.Send(wire.KindStationState, &wire.StationState{
		Phase: wire.Phase_PHASE_READY, Provider: "cpu",
		Model: &wire.Model{Name: "compare", Version: "1.2.3", Template: "sha256:7"},
	})
}

// compares lets the station expect a worker without a model.
func compares(o *station.Options) { o.Recipe.Digest = "" }

func TestResultsCarryTheGoldenTemplate(t *testing.T) {
	r := start(t, config.ModeMQTT, fakeworker.Script{Configured: beside}, compares)
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	in := r.await(1)[0]
	require.Equal(t, event.Pass, in.Verdict)
	require.Equal(t, event.Model{
		Name: "compare", Version: "1.2.3", Provider: "cpu", Template: "sha256:7",
	}, in.Model)
}

func TestAFrameThatItsTemplateDoesNotFitIsUnknown(t *testing.T) {
	const why = "the golden template does not fit: is it the right board?"
	fault := func(p *fakeworker.Peer, m *wire.Inspect) {
		p.Expose(m)
		p.Fault(m, wire.Fault_FAULT_UNALIGNED, why)
	}
	r := start(t, config.ModeMQTT, fakeworker.Script{Configured: beside, Inspect: fault}, compares)
	r.awaitState(event.Ready)
	r.trigger(`{"partId":"P"}`)
	in := r.await(1)[0]
	require.Equal(t, event.Unknown, in.Verdict)
	require.False(t, in.Accept)
	require.Equal(t, "template_unaligned", in.Reason)
	require.Equal(t, why, in.Detail)
	require.Equal(t, "sha256:7", in.Model.Template)
	require.Equal(t, event.Ready, r.line.State().State, "the next board may fit again")
}

// Without a trigger a board that does not fit is a part, too: something lay there.
func TestAFreeRunningStationTellsOfFramesThatDoNotFit(t *testing.T) {
	fault := func(p *fakeworker.Peer, m *wire.Inspect) {
		p.Expose(m)
		p.Fault(m, wire.Fault_FAULT_UNALIGNED, "it does not fit")
	}
	r := start(t, config.ModeInterval, fakeworker.Script{Configured: beside, Inspect: fault}, compares)
	for _, in := range r.await(3)[:3] {
		require.Equal(t, event.Unknown, in.Verdict)
		require.Equal(t, station.ReasonUnaligned, in.Reason)
	}
}
