package app

import (
	"context"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/topic"
)

// lineReturn bounds the wait for the line's broker, also when it comes and goes.
const lineReturn = 5 * time.Second

// actor is one station with its own connection to the line's broker, since a connection has one last will.
type actor struct {
	place   topic.Station
	client  string // the end of its client id
	change  *change
	station *station.Station
	line    *plc.Handshake
	conn    *broker.Conn
	started bool
}

func (a *agent) newActor(i int) (*actor, error) {
	cfg := &a.cfg.Stations[i]
	place, err := topic.ParseStation(a.cfg.Place + "/" + cfg.Name)
	if err != nil {
		return nil, err
	}
	first, err := planFor(a.cfg, i)
	if shadow := cfg.Shadow; err != nil && shadow != nil { // what inspects may be there
		why := err
		cfg.Shadow = nil
		if first, err = planFor(a.cfg, i); err == nil {
			a.log.Error("the station starts without its shadow", "station", place.Path(), "error", why)
		}
		cfg.Shadow = shadow
	}
	if err != nil {
		return nil, err
	}
	s := &actor{place: place, client: cfg.Client(), change: newChange(first)}
	s.station = station.New(a.stationOptions(i, place, s.change.live.judge()))
	s.line = plc.New(plc.Options{
		Station: place, Triggered: cfg.Trigger.Mode == config.ModeMQTT, Trigger: s.station.Trigger,
		Override: a.override(place),
		Announce: func(payload []byte) { a.announce(place, payload) }, Now: monotime.Now, Log: a.log,
	})
	return s, nil
}

func (a *agent) stationOptions(i int, place topic.Station, r station.Recipe) station.Options {
	cfg := &a.cfg.Stations[i]
	o := station.Options{
		Place: place, Index: i, Trigger: cfg.Trigger, Recipe: r, Boot: a.boot,
		NextJob:  func() uint64 { return a.jobs.Add(1) },
		MaxCrops: *a.cfg.Evidence.MaxCrops, Prefetch: a.cfg.Worker.Parallel + 1,
		Outbox: a.offer,
		Evidence: func(resultID string, n int, jpeg []byte) error {
			return a.durable.evidence.Put(place, resultID, n, jpeg)
		},
		Margin: *a.cfg.Samples.Margin, Observe: a.metrics.observer(place), Now: monotime.Now, Log: a.log,
	}
	if a.cfg.Samples.Dir != config.Off {
		o.Samples = sampling{func() *samples.Store { return a.durable.samples }}
	}
	return o
}

// start connects the station. A broker that is away is no error: results are held until it returns.
func (s *actor) start(ctx context.Context, a *agent) error {
	will, err := s.line.Will()
	if err != nil {
		return err
	}
	o := a.brokerOptions(a.cfg.MQTT.Local, s.client, a.cfg.MQTT.LocalLogin())
	o.Will, o.OnState, o.Subscriptions = &will, s.line.Connected, s.line.Subscriptions()
	o.CleanSession = true // a trigger from before the connection speaks of a part that has gone
	o.MaxPause = lineReturn
	//nolint:contextcheck // the connection lives until its Close
	if s.conn, err = broker.Dial(o); err != nil {
		return fmt.Errorf("local broker, check mqtt.local: %w", err)
	}
	s.started = true
	s.station.Start(ctx, s.line, a.workers)
	s.line.Start(ctx, s.conn)
	return nil
}

func (a *agent) brokerOptions(url, client string, as config.Login) broker.Options {
	return broker.Options{
		URL: url, ClientID: a.cfg.MQTT.ClientID + "-" + client, Username: as.Username,
		PasswordFile: as.PasswordFile, CAFile: as.CAFile, CertFile: as.CertFile, KeyFile: as.KeyFile,
		Log: a.log,
	}
}
