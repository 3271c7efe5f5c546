package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/health"
)

// working are the states in which a station inspects.
func working(s event.State) bool {
	return slices.Contains([]event.State{event.Ready, event.SingleExecution, event.ContinuousExecution}, s)
}

func (a *agent) startHealth(ctx context.Context) error {
	durability := health.Durability{Outbox: a.durable.outbox.Stats, Evidence: a.durable.evidence.Stats}
	if a.durable.samples != nil {
		durability.Samples = a.durable.samples.Stats
	}
	if a.durable.link != nil {
		durability.Uplink, durability.Link = a.durable.link.Stats, a.durable.conn.Stats
	}
	a.metrics.registry.MustRegister(newCounts(a), durability)
	server, err := health.Start(ctx, health.Options{
		Listen: a.cfg.Health.Listen, Metrics: a.metrics.registry, Stations: a.readiness, Alive: a.alive,
		Systemd: health.FromEnvironment(), Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("health endpoint, check health.listen: %w", err)
	}
	a.health = server
	return nil
}

func (a *agent) readiness() []health.Station {
	all := make([]health.Station, 0, len(a.stations))
	for _, s := range a.stations {
		state := s.line.State()
		all = append(all, health.Station{
			Station: s.place.Path(), Ready: working(state.State),
			State: string(state.State), Reason: state.Reason,
		})
	}
	return all
}

// alive says which station hangs: its parts get no verdict, so that only a restart helps.
func (a *agent) alive() error {
	var hangs error
	for _, s := range a.stations {
		if err := s.station.Alive(); err != nil {
			hangs = errors.Join(hangs, fmt.Errorf("station %s: %w", s.place.Path(), err))
		}
	}
	return hangs
}
