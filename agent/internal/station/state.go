package station

import (
	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// ready says whether a part can be inspected now.
func (s *Station) ready() bool {
	return s.seen.GetPhase() == wire.Phase_PHASE_READY && s.halted == "" && s.mismatch == ""
}

// report tells the PLC what the station is.
func (s *Station) report() { s.line.SetState(s.status()) }

func (s *Station) status() event.StateData {
	model := s.seen.GetModel()
	d := event.StateData{
		FellBack: s.seen.GetFellBack(), FallbackReason: clipTo(fallbackBytes, s.seen.GetFallbackReason()),
		IsSimulated: s.seen.GetSimulated(), Candidate: s.shown(), Drift: s.drifted(),
		Model: event.Model{
			Name: model.GetName(), Version: model.GetVersion(), Digest: model.GetDigest(),
			Provider: s.seen.GetProvider(),
		},
	}
	d.State, d.Reason = s.phase()
	d.TriggerReady = d.State == event.Ready
	return d
}

// phase names the state of OPC 40100-1, and says in a sentence why it is none of those that inspect.
func (s *Station) phase() (event.State, string) {
	reason := clip(s.seen.GetReason())
	switch {
	case s.halted != "":
		return event.Halted, s.halted
	case s.mismatch != "":
		return event.Error, s.mismatch
	case s.seen.GetStale():
		return event.Error, "the camera repeats the same frame: check camera and cable"
	}
	switch s.seen.GetPhase() {
	case wire.Phase_PHASE_READY:
		if s.opts.Trigger.Mode == config.ModeMQTT {
			return event.Ready, ""
		}
		return event.ContinuousExecution, ""
	case wire.Phase_PHASE_FAILED, wire.Phase_PHASE_REFUSED, wire.Phase_PHASE_EXHAUSTED:
		return event.Error, reason
	case wire.Phase_PHASE_OPENING:
		return event.Preoperational, reason
	default:
		if reason == "" {
			reason = "the vision worker has not reported yet"
		}
		return event.Preoperational, reason
	}
}
