package worker

import (
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// reason is the sentence why the station is not ready.
func (s *station) reason() string {
	s.state.Lock()
	defer s.state.Unlock()
	return s.state.message.GetReason()
}

// change updates the state and tells the supervisor.
func (s *station) change(edit func(*wire.StationState)) error {
	s.state.Lock()
	defer s.state.Unlock()
	edit(s.state.message)
	m := s.state.message
	m.Reason, m.FallbackReason = said(m.GetReason()), said(m.GetFallbackReason())
	return closed(s.conn.Send(wire.KindStationState, m))
}

// maxSaid bounds a text from outside in a message.
const maxSaid = 4 << 10

// said makes a text from outside fit for the protocol, whose strings are UTF-8: drivers, models and the names
// of files may hold any bytes, and a message that cannot be encoded would end the worker.
func said(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxSaid)], "?")
}

// reject says that the station cannot work until somebody changes its configuration or bundle.
func (s *station) reject(err error) error {
	s.log.Error("station refused", "error", err)
	return s.change(func(m *wire.StationState) {
		m.Phase, m.Reason = wire.Phase_PHASE_REFUSED, err.Error()
	})
}

// loaded notes the rig. Without a camera that is all there is to wait for.
func (s *station) loaded(r *rig) error {
	l := r.lane
	model := l.state.GetModel()
	s.log.Info("ready to inspect", "bundle", model.GetName(), "version", model.GetVersion(),
		"digest", model.GetDigest(), "provider", l.state.GetProvider(), "fell_back", l.state.GetFellBack())
	return s.change(func(m *wire.StationState) {
		r.describe(m)
		m.Reason = "opening the camera"
		if s.config.GetCamera() == "" {
			m.Phase, m.Reason = wire.Phase_PHASE_READY, ""
		}
	})
}
