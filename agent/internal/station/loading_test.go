package station_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Whoever waits for a station tells a long load from a fault by this.
func TestAStationThatLoadsItsBundleSaysSo(t *testing.T) {
	for reason, loads := range map[string]bool{wire.ReasonLoading: true, "opening the camera": false} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, config.ModeMQTT, fakeworker.Script{
				Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
					p.State(0, wire.Phase_PHASE_OPENING, reason)
				},
			}, nil)
			synctest.Wait()
			state := r.line.State()
			require.Equal(t, event.Preoperational, state.State)
			require.Equal(t, loads, state.IsLoading(), state.Reason)
		})
	}
}
