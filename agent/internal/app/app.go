// Package app wires the supervisor: brokers, worker, stations, outbox, health. It imports everything and only
// main imports it.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/health"
	"github.com/sightline-edge/sightline/agent/internal/vision"
)

// The end takes five seconds at most, of which the brokers get these.
const (
	farewell = time.Second // for results and states that the local broker has not taken
	drain    = time.Second // for events that the uplink could still send; the others stay in the outbox
)

// Options say what to run.
type Options struct {
	Config *config.Loaded
	// Launch starts a vision worker; nil: the executable of the configuration.
	Launch func(context.Context) (vision.Process, error)
	// Reload brings the configuration anew whenever it was changed. May be nil.
	Reload <-chan *config.Loaded
	// Started is told the address of the health endpoint, empty when it is off, once everything runs. May be
	// nil.
	Started func(health string)
	Log     *slog.Logger
}

// agent is the running supervisor.
type agent struct {
	cfg      *config.Loaded
	launch   func(context.Context) (vision.Process, error)
	trial    func(context.Context) (vision.Process, error) // of what was never run before
	log      *slog.Logger
	boot     string
	jobs     atomic.Uint64
	stations []*actor
	workers  *vision.Crew
	metrics  *metrics
	durable  *durable
	health   *health.Server
}

// Run inspects until ctx ends, then closes open parts, says goodbye and returns nil. An error means that it
// could not start.
func Run(ctx context.Context, o Options) error {
	a, err := prepare(o)
	if err != nil {
		return err
	}
	living := context.WithoutCancel(ctx) // the actors are stopped one after the other, not all at once
	if err := a.start(living); err != nil {
		a.stop(living)
		return err
	}
	a.log.InfoContext(ctx, "agent started", "stations", len(a.stations), "configuration", a.cfg.ID)
	if o.Started != nil {
		o.Started(a.health.Address())
	}
	a.serve(ctx, o.Reload)
	a.log.InfoContext(living, "agent stopping")
	a.stop(living)
	a.log.InfoContext(living, "agent stopped")
	return nil
}

// serve takes one configuration after the other until ctx ends. One that is not taken yet is given up for the
// next: it may wait for the next part of a line that stands.
func (a *agent) serve(ctx context.Context, reload <-chan *config.Loaded) {
	var taking sync.WaitGroup
	give := func() {}
	for {
		select {
		case next := <-reload:
			give()
			taking.Wait()
			var each context.Context
			each, give = context.WithCancel(ctx)
			taking.Go(func() { a.reload(each, next) })
		case <-ctx.Done():
			give()
			taking.Wait()
			return
		}
	}
}

// prepare checks everything that can be checked before anything runs.
func prepare(o Options) (*agent, error) {
	id, err := event.NewID()
	if err != nil {
		return nil, fmt.Errorf("mint boot id: %w", err)
	}
	a := &agent{
		cfg: o.Config, launch: o.Launch, trial: o.Launch, log: o.Log, boot: id[len(id)-12:],
		metrics: newMetrics(),
	}
	if a.launch == nil {
		path, err := vision.Find(o.Config.Worker.Path)
		if err != nil {
			return nil, err
		}
		args := workerArgs(&o.Config.Worker)
		a.launch = vision.Executable(path, args, o.Log)
		a.trial = vision.Executable(path, append(slices.Clone(args), "--trial"), o.Log.With("trial", true))
	}
	for i := range o.Config.Stations {
		s, err := a.newActor(i)
		if err != nil {
			return nil, fmt.Errorf("station %s: %w", o.Config.Stations[i].Name, err)
		}
		a.stations = append(a.stations, s)
	}
	return a, nil
}

// start begins with what the others hand on to.
func (a *agent) start(ctx context.Context) error {
	for _, exposed := range a.cfg.Exposed() {
		a.log.WarnContext(ctx, "a password is not protected on its way to a broker", "at", exposed.String())
	}
	if err := a.startDurable(ctx); err != nil {
		return err
	}
	a.workers = vision.StartCrew(ctx, vision.Options{
		Launch: a.launch, Configure: a.configure(), Log: a.log, RecycleAbove: a.cfg.Worker.RecycleAbove,
		Deliver: func(station int, message any) {
			a.stations[station].station.Deliver(message)
			a.stations[station].change.heard(message)
		},
	})
	for _, s := range a.stations {
		if err := s.start(ctx, a); err != nil {
			return err
		}
	}
	return a.startHealth(ctx)
}
