package demo

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
)

const (
	// readyLimit is for the worker to start and the camera to open, whenever the station is not ready.
	readyLimit = 30 * time.Second
	// loadLimit is for the model besides: where an engine is built for it, that takes many minutes. The
	// worker ends a load after thirty.
	loadLimit = 31 * time.Minute
)

// errNotReady says that the station was not ready in time.
var errNotReady = errors.New("the station was not ready in time")

// readiness is whether the station takes triggers, and for how long it has not.
type readiness struct {
	ready   bool
	loading bool
	reason  string // why it is not ready

	since  time.Time // not ready since; zero while it is
	looked time.Time
	idle   time.Duration // since then, not loading its bundle
}

// begin starts the time for a station that is not ready.
func (r *readiness) begin(now time.Time) { r.since, r.looked, r.idle = now, now, 0 }

// is takes a state of the station over.
func (r *readiness) is(s *event.StateData) {
	r.ready, r.loading = s.TriggerReady, s.IsLoading()
	r.reason = strings.TrimSpace(string(s.State) + " " + s.Reason)
}

// look returns errNotReady with the reason when it has lasted too long.
func (r *readiness) look(now time.Time) error {
	switch {
	case r.ready:
		r.since = time.Time{}
		return nil
	case r.since.IsZero():
		r.begin(now)
	}
	if !r.loading {
		r.idle += now.Sub(r.looked)
	}
	r.looked = now
	if r.idle > readyLimit {
		return fmt.Errorf("%w, %s beside the loading of its model: %s", errNotReady, readyLimit, r.reason)
	}
	if waited := now.Sub(r.since); waited > loadLimit {
		return fmt.Errorf("%w, %s: %s; check the disk, and the driver of the execution provider", errNotReady,
			waited.Round(time.Second), r.reason)
	}
	return nil
}

// missing says what is waited for, and for how long it has been; it is empty when nothing is.
func (r *readiness) missing(now time.Time) string {
	if r.ready {
		return ""
	}
	return fmt.Sprintf("%s, %.0f s", cmp.Or(r.reason, "the agent has not said anything yet"),
		now.Sub(r.since).Seconds())
}
