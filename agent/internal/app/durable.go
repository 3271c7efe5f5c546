package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/evidence"
	"github.com/sightline-edge/sightline/agent/internal/outbox"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/uplink"
	"github.com/sightline-edge/sightline/agent/topic"
)

const backlogLook = 10 * time.Millisecond

// durable is the way to the cloud: what the stations say goes to disk, and from there to the uplink's broker.
type durable struct {
	outbox   *outbox.Outbox
	taken    atomic.Uint64 // entries that the outbox took
	evidence *evidence.Store
	samples  *samples.Store // nil: none are kept
	conn     *broker.Conn   // nil without uplink, as is link
	link     *uplink.Uplink
	cancel   context.CancelFunc
	done     sync.WaitGroup
	log      *slog.Logger
}

func (a *agent) startDurable(ctx context.Context) error {
	box, err := outbox.Open(outbox.Options{
		Dir: filepath.Join(a.cfg.StateDir, "outbox"), MaxBytes: a.cfg.Outbox.MaxBytes, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open outbox, check state_dir: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	a.durable = &durable{outbox: box, cancel: cancel, log: a.log}
	a.durable.evidence, err = evidence.Open(evidence.Options{
		Dir: a.cfg.Evidence.Dir, MaxBytes: a.cfg.Evidence.MaxBytes, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("open evidence store, check evidence.dir: %w", err)
	}
	if err = a.startSamples(); err != nil {
		return err
	}
	if a.cfg.MQTT.Uplink == "" {
		a.log.WarnContext(ctx, "no uplink is configured: results stay in the outbox until it is full")
		return nil
	}
	return a.durable.startUplink(ctx, a.brokerOptions(a.cfg.MQTT.Uplink, "uplink", a.cfg.MQTT.UplinkLogin()))
}

func (d *durable) startUplink(ctx context.Context, o broker.Options) error {
	o.CleanSession = true // it only publishes
	var err error
	//nolint:contextcheck // the connection lives until its Close
	if d.conn, err = broker.Dial(o); err != nil {
		return fmt.Errorf("uplink broker, check mqtt.uplink: %w", err)
	}
	d.link = uplink.New(uplink.Options{Broker: d.conn, Outbox: d.outbox, Log: d.log})
	d.done.Go(func() {
		if err := d.link.Run(ctx); err != nil {
			d.log.ErrorContext(ctx, "uplink ended: results stay in the outbox until a restart", "error", err)
		}
	})
	return nil
}

// close sends what a live uplink takes in a moment; the rest is sent after the next start.
func (d *durable) close(ctx context.Context) {
	if d.conn != nil {
		d.drain(ctx)
	}
	d.cancel()
	d.done.Wait()
	if d.conn != nil {
		d.conn.Close()
	}
	d.closeSamples(ctx) // overrides may look for evidence
	if d.evidence != nil {
		if err := d.evidence.Close(); err != nil {
			d.log.ErrorContext(ctx, "evidence store not closed", "error", err)
		}
	}
	if err := d.outbox.Close(); err != nil {
		d.log.ErrorContext(ctx, "outbox not closed", "error", err)
	}
}

func (d *durable) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	ticker := time.NewTicker(backlogLook)
	defer ticker.Stop()
	for d.conn.Connected() && d.waiting() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// waiting says whether anything that the outbox took is not on disk, or not in the cloud.
func (d *durable) waiting() bool {
	s := d.outbox.Stats()
	return s.Stored < d.taken.Load() || s.Backlog > 0
}

// offer gives a result to the outbox. Rejects outlive accepted parts when the disk is full.
func (a *agent) offer(rejected bool, to string, payload []byte) error {
	priority := outbox.Normal
	if rejected {
		priority = outbox.High
	}
	entry := outbox.Entry{Priority: priority, Topic: to, Payload: payload}
	if err := a.durable.outbox.Offer(entry); err != nil {
		return err
	}
	a.durable.taken.Add(1)
	return nil
}

// announce gives a station's state to the outbox.
func (a *agent) announce(place topic.Station, payload []byte) {
	if err := a.offer(true, place.Topic(topic.State), payload); err != nil {
		a.log.Warn("state not taken by the outbox", "station", place.Path(), "error", err)
	}
}
