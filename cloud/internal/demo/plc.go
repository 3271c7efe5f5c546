package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	plcQueue     = 1024
	plcWindow    = 4               // parts between trigger and verdict at a time
	plcTimeout   = 5 * time.Second // beyond a part's deadline
	publishLimit = 2 * time.Second
)

// plc simulates the line's controller: it waits for TriggerReady, triggers a part at each tick, takes the
// verdict over and acknowledges it. One goroutine at a time.
type plc struct {
	station topic.Station
	tally   *Tally
	log     *slog.Logger
	show    func(Part)

	deadline    time.Duration // of a part
	client      mqtt.Client
	inbox       chan mqtt.Message
	readiness   readiness
	sent        int
	sentAt      time.Time // of the last trigger
	outstanding map[string]bool
}

func newPLC(
	station topic.Station, tally *Tally, deadline time.Duration, log *slog.Logger, show func(Part),
) *plc {
	return &plc{
		station: station, tally: tally, deadline: deadline, log: log, show: show,
		inbox: make(chan mqtt.Message, plcQueue), outstanding: map[string]bool{},
	}
}

// run triggers n parts, one each interval, or parts without end when n is 0, and returns when each has its
// verdict. It gives up a station that does not get ready or gives no verdicts.
func (p *plc) run(ctx context.Context, n int, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	p.readiness.begin(time.Now())
	for n == 0 || p.sent < n {
		select {
		case <-ctx.Done():
			return p.finish()
		case now := <-look.C:
			if err := p.look(now); err != nil {
				return err
			}
		case m := <-p.inbox:
			if err := p.receive(m); err != nil {
				return err
			}
		case <-ticker.C:
			if err := p.tick(); err != nil {
				return err
			}
		}
	}
	return p.finish()
}

// look says why there is no use in waiting any longer.
func (p *plc) look(now time.Time) error {
	err := p.readiness.look(now)
	p.tally.Waiting(p.readiness.missing(now))
	if err != nil {
		return fmt.Errorf("plc: %w", err)
	}
	if len(p.outstanding) >= plcWindow && now.Sub(p.sentAt) > p.patience() {
		return p.noVerdicts()
	}
	return nil
}

// tick triggers the next part unless the station is not ready or too many are under way.
func (p *plc) tick() error {
	if !p.readiness.ready || len(p.outstanding) >= plcWindow {
		return nil
	}
	return p.trigger()
}

// patience is how long a verdict may take to arrive.
func (p *plc) patience() time.Duration { return p.deadline + plcTimeout }

func (p *plc) noVerdicts() error {
	return fmt.Errorf("plc: %d parts have no verdict %s after the last trigger", len(p.outstanding),
		p.patience())
}

// finish waits for the verdicts that are still due after the last trigger.
func (p *plc) finish() error {
	limit := time.After(p.patience())
	for len(p.outstanding) > 0 {
		select {
		case m := <-p.inbox:
			if err := p.receive(m); err != nil {
				return err
			}
		case <-limit:
			return p.noVerdicts()
		}
	}
	return nil
}

// listen goes on taking verdicts over until ctx ends, with all that has arrived by then.
func (p *plc) listen(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case m := <-p.inbox:
			if err := p.receive(m); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	for len(p.inbox) > 0 {
		if err := p.receive(<-p.inbox); err != nil {
			return err
		}
	}
	if !p.client.IsConnectionOpen() {
		return errors.New("plc: the line's broker was lost before the count had settled: see " + lineLog)
	}
	return nil
}

func (p *plc) connect(broker string) error {
	options := mqtt.NewClientOptions().AddBroker(broker).SetClientID("plc").
		SetConnectTimeout(publishLimit).SetAutoReconnect(false).SetOrderMatters(true)
	p.client = mqtt.NewClient(options)
	if err := wait(p.client.Connect()); err != nil {
		return fmt.Errorf("plc: connect to the line's broker: %w", err)
	}
	filters := map[string]byte{}
	for _, leaf := range []topic.Leaf{topic.State, topic.TriggerAck, topic.Result} {
		filters[p.station.Topic(leaf)] = 1
	}
	hand := func(_ mqtt.Client, m mqtt.Message) {
		select {
		case p.inbox <- m:
		default:
			p.log.Error("plc inbox is full, message dropped", "topic", m.Topic())
		}
	}
	if err := wait(p.client.SubscribeMultiple(filters, hand)); err != nil {
		return fmt.Errorf("plc: subscribe: %w", err)
	}
	return nil
}

func (p *plc) close() { p.client.Disconnect(100) }

func (p *plc) trigger() error {
	p.sent++
	id := fmt.Sprintf("P%06d", p.sent)
	p.outstanding[id], p.sentAt = true, time.Now()
	p.tally.Triggered(id, p.sentAt)
	return p.publish(topic.Trigger, event.TriggerMessage{PartID: id, ProductID: "board"})
}

func (p *plc) receive(m mqtt.Message) error {
	now := time.Now()
	address, err := topic.Parse(m.Topic())
	if err != nil {
		return fmt.Errorf("plc: %w", err)
	}
	switch address.Leaf {
	case topic.State:
		return p.state(m.Payload())
	case topic.TriggerAck:
		return p.refused(m.Payload())
	case topic.Result:
		return p.result(m.Payload(), now)
	default:
		return fmt.Errorf("plc: message on a topic that was not subscribed: %s", m.Topic())
	}
}

func (p *plc) state(payload []byte) error {
	e, err := event.Decode(payload)
	if err != nil {
		return fmt.Errorf("plc: state: %w", err)
	}
	var state event.StateData
	if err := json.Unmarshal(e.Data, &state); err != nil {
		return fmt.Errorf("plc: state: %w", err)
	}
	if state.TriggerReady != p.readiness.ready {
		p.log.Info("station state", "state", state.State, "trigger_ready", state.TriggerReady,
			"reason", state.Reason)
	}
	p.readiness.is(&state)
	return nil
}

func (p *plc) refused(payload []byte) error {
	var ack event.TriggerAckMessage
	if err := json.Unmarshal(payload, &ack); err != nil {
		return fmt.Errorf("plc: trigger/ack: %w", err)
	}
	if !ack.Accepted {
		p.log.Warn("trigger refused", "part", ack.PartID, "reason", ack.Reason, "detail", ack.Detail)
	}
	return nil
}

func (p *plc) result(payload []byte, at time.Time) error {
	e, err := event.Decode(payload)
	if err != nil {
		return fmt.Errorf("plc: result: %w", err)
	}
	in, err := event.DecodeInspection(e.Data)
	if err != nil {
		return fmt.Errorf("plc: result: %w", err)
	}
	part, first := p.tally.AtPLC(in, at)
	delete(p.outstanding, in.PartID)
	if first {
		p.show(part)
	}
	return p.publish(topic.ResultAck, event.ResultAckMessage{ResultID: in.ResultID})
}

func (p *plc) publish(leaf topic.Leaf, message any) error {
	payload, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("plc: encode %s: %w", leaf, err)
	}
	if err := wait(p.client.Publish(p.station.Topic(leaf), 1, false, payload)); err != nil {
		return fmt.Errorf("plc: publish %s: %w", leaf, err)
	}
	return nil
}

var errTimeout = errors.New("the broker does not answer")

func wait(token mqtt.Token) error {
	if !token.WaitTimeout(publishLimit) {
		return errTimeout
	}
	return token.Error()
}
