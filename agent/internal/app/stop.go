package app

import (
	"context"
	"sync"
)

// stop ends what start began, in the order in which parts flow, within five seconds. It copes with a start
// that failed half way.
func (a *agent) stop(ctx context.Context) {
	var answering sync.WaitGroup
	answering.Go(func() { a.stopHealth(ctx) })
	defer answering.Wait()
	a.each(func(s *actor) { s.stop(ctx) })
	if a.workers != nil {
		a.workers.Close()
	}
	a.each(func(s *actor) { s.station.Close() }) // the worker's last pictures are taken
	if a.durable != nil {
		a.durable.close(ctx)
	}
}

func (a *agent) stopHealth(ctx context.Context) {
	if a.health == nil {
		return
	}
	if err := a.health.Close(); err != nil { //nolint:contextcheck // it bounds itself
		a.log.ErrorContext(ctx, "health endpoint not closed", "error", err)
	}
}

func (a *agent) each(do func(*actor)) {
	var all sync.WaitGroup
	for _, s := range a.stations {
		all.Go(func() { do(s) })
	}
	all.Wait()
}

// stop closes the open parts and gives their results and the last state to the line.
func (s *actor) stop(ctx context.Context) {
	s.station.Stop()
	if !s.started {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	s.line.Stop(ctx)
	s.conn.Close()
}
