package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const (
	heartbeat = 200 * time.Millisecond
	// longestRun: no inference takes so long. One that does sits in a driver that will not come back.
	longestRun  = 10 * time.Second
	longestLoad = wire.LongestLoad
)

// load is the loading of a station's bundle that is under way.
type load struct {
	station string
	sinceNs int64
}

// beat says every 200 ms that the worker lives, with its counts, and ends it when a load or a run hangs.
func (w *worker) beat(ctx context.Context) error {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	message := &wire.Heartbeat{}
	for i := range w.stations {
		message.Stations = append(message.Stations, &wire.StationCount{Station: uint32(i)})
	}
	for {
		w.count(message)
		if err := w.conn.Send(wire.KindHeartbeat, message); err != nil {
			return closed(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if err := w.stuck(); err != nil {
			return err
		}
	}
}

func (w *worker) count(message *wire.Heartbeat) {
	for i, s := range w.stations {
		c := message.GetStations()[i]
		c.Inspected, c.EvidenceDropped = s.inspected.Load(), s.evidenceDropped.Load()
		c.SamplesDropped = s.samplesDropped.Load()
		if s.ready.Load() {
			n := s.camera.Counts()
			c.Captured, c.Displaced = n.Captured, n.Displaced
			c.BadFrames, c.StaleFrames = n.BadFrames, n.StaleFrames
			c.HungCaptures, c.Reconnects = n.HungCaptures, n.Reconnects
		}
	}
}

func (w *worker) stuck() error {
	if l := w.loading.Load(); l != nil && monotime.Since(l.sinceNs) > longestLoad {
		return fmt.Errorf("%w: the bundle of station %s has been loading for over %s: check disk and "+
			"driver of its execution provider", ErrHung, l.station, longestLoad)
	}
	if l := w.lanes.hangs(monotime.Now()); l != nil {
		return fmt.Errorf("%w: the model of bundle %s has run for over %s", ErrHung, l.manifest.Name,
			longestRun)
	}
	return nil
}
