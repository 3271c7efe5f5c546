package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker/stopwatch"
)

const (
	partLimit  = 20 * time.Second
	statesRoom = 16 // states that wait to be read
	lookEvery  = time.Second
)

// ErrSilent says that the station gave no result in time.
var ErrSilent = errors.New("no result")

// heard is what is said on a topic, from now on.
type heard struct {
	laps  chan stopwatch.Lap
	ended chan error
	stop  func() // waits for its end; it may be called twice
}

func hear(ctx context.Context, broker, client, topic string, room int) (*heard, error) {
	watch, err := stopwatch.Dial(ctx, broker, client, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &heard{laps: make(chan stopwatch.Lap, room), ended: make(chan error, 1)}
	var done sync.WaitGroup
	done.Go(func() { h.ended <- watch.Collect(ctx, h.laps) })
	h.stop = sync.OnceFunc(func() {
		cancel()
		_ = watch.Close() // it is only read from
		done.Wait()
	})
	return h, nil
}

// next waits for a result of a station that is at work.
func (h *heard) next(ctx context.Context) (stopwatch.Lap, error) {
	limit := time.NewTimer(partLimit)
	defer limit.Stop()
	select {
	case lap := <-h.laps:
		return lap, nil
	case err := <-h.ended:
		return stopwatch.Lap{}, err
	case <-limit.C:
		return stopwatch.Lap{}, fmt.Errorf("%w for %s", ErrSilent, partLimit)
	case <-ctx.Done():
		return stopwatch.Lap{}, ctx.Err()
	}
}

// first waits for a station's first result, with the patience that its states ask for.
func first(ctx context.Context, results, states *heard, p patience) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for p.begin(time.Now()); ; {
		select {
		case <-results.laps:
			return nil
		case lap := <-states.laps:
			if err := p.read(lap.Payload); err != nil {
				return err
			}
		case now := <-ticker.C:
			if err := p.look(now); err != nil {
				return err
			}
		case err := <-results.ended:
			return err
		case err := <-states.ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// patience with a station that has no result yet: the loading of its bundle may take long, all else together
// no longer than a part. A worker that dies in its loads again and again has no end of them otherwise.
type patience struct {
	most  time.Duration // of a load
	state event.StateData

	began, looked time.Time
	idle          time.Duration // since began, not loading
}

func (p *patience) begin(now time.Time) { p.began, p.looked = now, now }

func (p *patience) read(payload []byte) error {
	e, err := event.Decode(payload)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	p.state = event.StateData{}
	if err := json.Unmarshal(e.Data, &p.state); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (p *patience) look(now time.Time) error {
	if !p.state.IsLoading() {
		p.idle += now.Sub(p.looked)
	}
	p.looked = now
	switch {
	case p.idle > partLimit:
		return fmt.Errorf("%w for %s beside the loading of the bundle; the station is %s: %s", ErrSilent,
			partLimit, p.state.State, p.state.Reason)
	case now.Sub(p.began) > p.most+partLimit:
		return fmt.Errorf("%w: the bundle has been loading for %s: check the disk, and the driver of its "+
			"execution provider", ErrSilent, now.Sub(p.began).Round(time.Second))
	}
	return nil
}
