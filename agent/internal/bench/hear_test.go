package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

// states is a course of a station's states, each for so long.
type states []struct {
	state  event.State
	reason string
	lasts  time.Duration
}

func TestTheLimitOfTheFirstResultBeginsWhenTheBundleIsLoaded(t *testing.T) {
	const dead = "the vision worker is being restarted: it died"
	dying := states{}
	for range 15 {
		dying = append(dying, states{
			{event.Preoperational, event.ReasonLoading, time.Minute},
			{event.Preoperational, dead, 2 * time.Second},
		}...)
	}
	for name, c := range map[string]struct {
		course states
		says   string
	}{
		"a long load": {states{
			{event.Preoperational, "", 10 * time.Second},
			{event.Preoperational, event.ReasonLoading, 29 * time.Minute},
			{event.ContinuousExecution, "", 10 * time.Second},
		}, ""},
		"no result after it": {states{
			{event.Preoperational, event.ReasonLoading, 5 * time.Minute},
			{event.ContinuousExecution, "", 21 * time.Second},
		}, "no result for 20s beside the loading of the bundle; the station is ContinuousExecution"},
		"refused": {states{
			{event.Preoperational, event.ReasonLoading, time.Minute},
			{event.Error, "golden sample differs", 21 * time.Second},
		}, "the station is Error: golden sample differs"},
		"no end of it": {states{
			{event.Preoperational, event.ReasonLoading, 31 * time.Minute},
		}, "the bundle has been loading for 30m21s: check the disk"},
		"a worker that dies in each": {dying, "restarted: it died"},
	} {
		t.Run(name, func(t *testing.T) {
			place := topic.Station{Enterprise: "e", Site: "s", Area: "a", Line: "l", Name: "n"}
			now := time.Unix(0, 0)
			p := patience{most: 30 * time.Minute}
			p.begin(now)
			var err error
			for _, s := range c.course {
				payload, encode := event.Encode("id", event.TypeState, place, "", now,
					event.StateData{State: s.state, Reason: s.reason})
				require.NoError(t, encode)
				require.NoError(t, p.read(payload))
				for end := now.Add(s.lasts); err == nil && now.Before(end); {
					now = now.Add(lookEvery)
					err = p.look(now)
				}
			}
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrSilent)
			require.ErrorContains(t, err, c.says)
		})
	}
}
