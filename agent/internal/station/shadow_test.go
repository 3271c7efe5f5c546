package station_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// The live model finds nothing; its shadow finds a defect in each second part, and fails at each fifth.
func TestAShadowIsCountedAndDrawnAndHasNoSay(t *testing.T) {
	rules, err := verdict.Compile(config.Verdict{}, &bundle.Manifest{
		Classes: []bundle.Class{{Name: "open", Threshold: 0.5}},
	})
	require.NoError(t, err)
	var mu sync.Mutex
	var settled []*wire.Settle
	var dying atomic.Bool
	die := func(p *fakeworker.Peer, m *wire.Inspect) {
		if dying.Load() {
			p.Die()
			return
		}
		p.Answer(m)
	}
	settle := func(p *fakeworker.Peer, m *wire.Settle) {
		if m.GetShadow() {
			mu.Lock()
			settled = append(settled, m)
			mu.Unlock()
			return
		}
		seen := &wire.Inspected{Job: m.GetJob(), ExposedNs: clock(), Width: 640, Height: 640}
		switch {
		case m.GetJob()%5 == 0:
			seen.Fault = wire.Fault_FAULT_MODEL
		case m.GetJob()%2 == 0:
			seen.Detections = []*wire.Detection{{Score: 0.9, X1: 5, Y1: 5, X2: 20, Y2: 20}}
		}
		p.Send(wire.KindShadowed, seen)
	}
	r := start(t, config.ModeMQTT, fakeworker.Script{Inspect: die, Settle: settle}, func(o *station.Options) {
		o.Recipe.Shadow = &station.Shadow{Rules: rules, Candidate: event.Candidate{
			RecipeID: "boards", Phase: event.CandidateShadow,
			Model: event.Model{Name: "next", Version: "2.0.0"},
		}}
	})
	state := r.awaitState(event.Ready)
	require.Equal(t, event.CandidateShadow, state.Candidate.Phase)
	require.Equal(t, "next", state.Candidate.Model.Name)
	const parts = 10
	defer func() { // the worker dies, perhaps of it
		dying.Store(true)
		r.trigger(`{}`)
		r.await(parts + 1)
		require.Eventually(t, func() bool {
			c := r.line.State().Candidate
			return c != nil && c.Phase == event.CandidateRefused
		}, 10*time.Second, time.Millisecond)
	}()
	for n := range parts {
		r.trigger(`{}`)
		in := r.await(n + 1)[n]
		require.Equal(t, event.Pass, in.Verdict)
		require.NotEqual(t, "next", in.Model.Name)
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(settled) == parts
	}, 10*time.Second, time.Millisecond, "each frame is given back")
	drawn := 0
	for _, m := range settled {
		if m.GetEvidence() {
			drawn++
			require.Equal(t, "FAIL by next 2.0.0, not PASS", m.GetVerdict())
			require.Len(t, m.GetDefects(), 1)
		}
	}
	require.Equal(t, 1, drawn, "one disagreement, and no more for a while")
	counted := map[string]uint64{}
	for _, n := range r.station.Counters().All() {
		if n.Name == station.CountShadow {
			counted[n.Label] = n.Value
		}
	}
	require.Equal(t, map[string]uint64{"PASS/PASS": 4, "PASS/FAIL": 4, "PASS/UNKNOWN": 2}, counted)
}
