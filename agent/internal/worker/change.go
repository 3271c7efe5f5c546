package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Why a change is refused that could be loaded.
var (
	errReopen     = errors.New("the camera would have to be opened anew: restart the agent")
	errLesser     = errors.New("it would run on a lesser execution provider than what runs")
	errSuperseded = errors.New("another change came before it was taken")
)

// changing is a change that waits for the end of a part.
type changing struct {
	give context.CancelFunc // it up, unless the station has taken it
	over chan struct{}      // closed when it is done
}

// changes gives stations what else they are to inspect with, one after the other, until ctx ends.
func (o *opener) changes(ctx context.Context) error {
	for {
		select {
		case m := <-o.worker.changes:
			if err := o.change(ctx, m); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// change loads what a station is to inspect with beside what it does. What is refused changes nothing.
func (o *opener) change(ctx context.Context, m *wire.Change) error {
	s, c := o.worker.stations[m.GetStation()], m.GetConfig()
	o.supersede(s)
	if !s.ready.Load() { // refused before: there is nothing beside it
		err := o.station(ctx, s, c)
		if err != nil && !errors.Is(err, errDone) && ctx.Err() == nil {
			if failed := s.reject(err); failed != nil {
				return failed
			}
		}
		return s.changed(c, err)
	}
	var next *rig
	var err error
	quietly(func() { next, err = o.beside(ctx, s, c) })
	if err != nil {
		return s.changed(c, err)
	}
	waiting, give := context.WithCancel(ctx)
	change := &changing{give: give, over: make(chan struct{})}
	o.changing[s.index] = change
	// Beside other stations' changes: a camera may give no frame while its line stands.
	o.group.Go(func() error {
		defer close(change.over)
		defer give()
		return o.cutOver(ctx, waiting, s, next)
	})
	return nil
}

// supersede gives a change up that the station has not taken, and waits for the end of one that it has.
func (o *opener) supersede(s *station) {
	if c := o.changing[s.index]; c != nil {
		c.give()
		<-c.over
		o.changing[s.index] = nil
	}
}

// beside loads a rig beside the one that runs, and compares the two.
func (o *opener) beside(ctx context.Context, s *station, c *wire.StationConfig) (*rig, error) {
	next, err := o.rig(ctx, s, c, false)
	if err != nil {
		return nil, err
	}
	live := o.rigs[s.index]
	switch state := &next.lane.state; {
	case next.gray() != live.gray():
		err = errReopen
	case state.GetFellBack() && !live.lane.state.GetFellBack():
		err = fmt.Errorf("%w, %s: %s", errLesser, state.GetProvider(), state.GetFallbackReason())
	default:
		return next, nil
	}
	o.end(next)
	return nil, err
}

// cutOver waits until the station is between two parts, unless waiting ends before, and then for the parts
// that it has begun before.
func (o *opener) cutOver(ctx, waiting context.Context, s *station, next *rig) error {
	select {
	case s.next <- next:
	case <-waiting.Done():
		o.end(next)
		if ctx.Err() == nil {
			return s.changed(next.config, errSuperseded)
		}
		return nil
	}
	o.rigs[s.index] = next
	old := <-s.last // at once
	if err := old.drain(ctx); err != nil {
		return err
	}
	old.close()
	o.release(old.lane)
	model := next.lane.state.GetModel()
	s.log.InfoContext(ctx, "inspects with another bundle or recipe", "bundle", model.GetName(),
		"version", model.GetVersion(), "digest", model.GetDigest(), "provider", next.lane.state.GetProvider())
	err := s.changed(next.config, nil)
	old.shadow.close(o) // nobody waits for it
	return err
}

// changed tells the supervisor what became of a change.
func (s *station) changed(c *wire.StationConfig, err error) error {
	m := &wire.Changed{Station: s.index, Generation: c.GetGeneration()}
	switch {
	case errors.Is(err, errDone):
		return err
	case err != nil:
		s.log.Warn("a change is refused", "error", err)
		m.Refused = said(err.Error())
	}
	return closed(s.conn.Send(wire.KindChanged, m))
}

// change passes a change on to the one who loads.
func (w *worker) change(payload []byte) error {
	m := &wire.Change{}
	if err := w.conn.Decode(payload, m); err != nil {
		return err
	}
	if _, err := w.station(m.GetStation()); err != nil {
		return err
	}
	select {
	case w.changes <- m:
		return nil
	default:
		return fmt.Errorf("%w: more changes than stations", wire.ErrFrame)
	}
}
