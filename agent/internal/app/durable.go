package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/outbox"
	"github.com/sightline-edge/sightline/agent/topic"
)

// durable is the way to the cloud: what the stations say goes to disk and from there to the uplink's broker.
type durable struct {
	outbox *outbox.Outbox
}

func (a *agent) startDurable(context.Context) error {
	box, err := outbox.Open(outbox.Options{
		Dir: filepath.Join(a.cfg.StateDir, "outbox"), MaxBytes: a.cfg.Outbox.MaxBytes, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open outbox, check state_dir: %w", err)
	}
	a.durable = &durable{outbox: box}
	return nil
}

// offer gives a result to the outbox. Rejects outlive accepted parts when the disk is full.
func (a *agent) offer(rejected bool, to string, payload []byte) error {
	priority := outbox.Normal
	if rejected {
		priority = outbox.High
	}
	return a.durable.outbox.Offer(outbox.Entry{Priority: priority, Topic: to, Payload: payload})
}

// announce gives a station's state to the outbox.
func (a *agent) announce(place topic.Station, payload []byte) {
	if err := a.offer(true, place.Topic(topic.State), payload); err != nil {
		a.log.Warn("state not taken by the outbox", "station", place.Path(), "error", err)
	}
}

func (a *agent) keep(topic.Station, string, int, []byte) error { return errors.New("no evidence store yet") }

func (d *durable) close(_ context.Context, log *slog.Logger) {
	if err := d.outbox.Close(); err != nil {
		log.Error("outbox not closed", "error", err)
	}
}
