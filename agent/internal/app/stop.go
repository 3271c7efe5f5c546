package app

import (
	"context"
	"sync"
)

// stop ends what start began, in the order in which parts flow, within five seconds. It copes with a start that
// failed half way.
func (a *agent) stop(ctx context.Context) {
	a.each(func(s *actor) { s.stop(ctx) })
	if a.worker != nil {
		a.worker.Close()
	}
	if a.durable != nil {
		a.durable.close(ctx)
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
