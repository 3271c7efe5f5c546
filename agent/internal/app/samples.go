package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/samples"
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
type sampling struct{ store func() *samples.Store }

func (s sampling) Wants(place topic.Station, why samples.Reason, margin float32, at time.Time) bool {
	return s.store().Wants(place, why, margin, at)
}

func (s sampling) Holds() bool { return s.store().Holds() }

func (s sampling) Note(r *samples.Record) { s.store().Note(r) }

func (s sampling) Sampled(resultID string, picture samples.Chunks) error {
	return s.store().Sampled(resultID, picture)
}

// override makes a sample of what an operator says of a part of a station; nil: none are kept.
func (a *agent) override(
	place topic.Station,
) func(event.OverrideMessage, time.Time, func(event.OverrideAckMessage)) {
	if a.cfg.Samples.Dir == config.Off {
		return nil
	}
	return func(m event.OverrideMessage, at time.Time, answer func(event.OverrideAckMessage)) {
		order := samples.Order{
			Place: place, ResultID: m.ResultID, PartID: m.PartID,
			Override: samples.Override{Verdict: m.Verdict, Operator: m.Operator, Time: at},
		}
		if m.Defects != nil {
			order.Override.Labels = []samples.Label{}
		}
		for _, d := range m.Defects {
			order.Override.Labels = append(order.Override.Labels, samples.Label{Class: d.Class, Box: d.Box})
		}
		err := a.durable.samples.Override(order, func(done samples.Answer) { answer(answered(done, at)) })
		if err != nil {
			answer(answered(samples.Answer{ResultID: m.ResultID, PartID: m.PartID, Err: err}, at))
		}
	}
}

func answered(done samples.Answer, at time.Time) event.OverrideAckMessage {
	m := event.OverrideAckMessage{
		ResultID: done.ResultID, PartID: done.PartID, Accepted: done.Err == nil, Kept: done.With, Time: at,
	}
	switch {
	case errors.Is(done.Err, samples.ErrUnknown):
		m.Reason = plc.RefusedUnknown
	case done.Err != nil:
		m.Reason = plc.RefusedNotKept
	}
	if done.Err != nil {
		m.Detail, m.Kept = done.Err.Error(), ""
	}
	return m
}
