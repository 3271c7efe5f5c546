package app

import (
	"context"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/topic"
)

// startSamples opens the store, unless the configuration wants none.
func (a *agent) startSamples() error {
	cfg := &a.cfg.Samples
	if cfg.Dir == config.Off {
		return nil
	}
	hold := *cfg.HoldBytes
	if hold == 0 {
		hold = -1 // of the store 0 is the default
	}
	store, err := samples.Open(samples.Options{
		Dir: cfg.Dir, MaxBytes: cfg.MaxBytes, MaxCount: cfg.MaxCount, PerHour: cfg.PerHour, HoldBytes: hold,
		Evidence: a.durable.evidence.Find, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open store of samples, check samples.dir: %w", err)
	}
	a.durable.samples = store
	return nil
}

func (d *durable) closeSamples(ctx context.Context) {
	if d.samples == nil {
		return
	}
	if err := d.samples.Close(); err != nil {
		d.log.ErrorContext(ctx, "store of samples not closed", "error", err)
	}
}

// sampling reaches the store, which opens after the stations are made and before they start.
type sampling struct{ durable func() *durable }

func (a *agent) sampler() station.Sampler {
	if a.cfg.Samples.Dir == config.Off {
		return nil
	}
	return sampling{func() *durable { return a.durable }}
}

// Wants implements station.Sampler.
func (s sampling) Wants(place topic.Station, why samples.Reason, margin float32, at time.Time) bool {
	return s.durable().samples.Wants(place, why, margin, at)
}

// Holds implements station.Sampler.
func (s sampling) Holds() bool { return s.durable().samples.Holds() }

// Note implements station.Sampler.
func (s sampling) Note(r *samples.Record) { s.durable().samples.Note(r) }

// Sampled implements station.Sampler.
func (s sampling) Sampled(resultID string, picture []byte) error {
	return s.durable().samples.Sampled(resultID, picture)
}
