package station_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	deadline = 40 * time.Millisecond
	digest   = "sha256:0" // of the bundle that the rig's rules are compiled from
)

// rig is a whole station on a fake worker and a fake broker. Its clock is time.Now, so that it runs in a
// synctest bubble too.
type rig struct {
	t        testing.TB
	station  *station.Station
	line     *plc.Handshake
	worker   *vision.Worker
	conn     *conn
	outbox   *offers
	pictures atomic.Int64
}

func clock() int64 { return time.Now().UnixNano() }

// start builds and runs the rig; change may alter its options. The rig ends with the test.
func start(tb testing.TB, mode string, script fakeworker.Script, change func(*station.Options)) *rig {
	tb.Helper()
	return startOn(tb, nil, mode, script, change)
}

// worker is what a station asks.
type worker interface {
	Inspect(m *wire.Inspect) error
	Settle(m *wire.Settle) error
}

// startOn puts another worker in the place of the fake one, which still reports its state. Nil: none.
func startOn(
	tb testing.TB, other worker, mode string, script fakeworker.Script, change func(*station.Options),
) *rig {
	tb.Helper()
	place, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(tb, err)
	rules, err := verdict.Compile(config.Verdict{}, &bundle.Manifest{
		Classes: []bundle.Class{{Name: "open", Threshold: 0.5}},
	})
	require.NoError(tb, err)
	r := &rig{t: tb, conn: newConn(), outbox: &offers{}}
	var jobs atomic.Uint64
	log := slog.New(slog.DiscardHandler)
	opts := station.Options{
		Place:   place,
		Trigger: config.Trigger{Mode: mode, Interval: 20 * time.Millisecond, Deadline: deadline},
		Recipe:  station.Recipe{ID: "boards", Rules: rules, Digest: digest},
		Boot:    "boot", NextJob: func() uint64 { return jobs.Add(1) },
		Outbox: r.outbox.offer, MaxCrops: 2, Prefetch: 2, Now: clock, Log: log,
		Evidence: func(string, int, []byte) error { r.pictures.Add(1); return nil },
	}
	if change != nil {
		change(&opts)
	}
	r.station = station.New(opts)
	r.line = plc.New(plc.Options{
		Station: place, Triggered: mode == config.ModeMQTT, Trigger: r.station.Trigger,
		Announce: func([]byte) {}, Now: clock, Log: log,
	})
	script.Now, script.Digest = clock, digest
	r.worker = vision.Start(tb.Context(), vision.Options{
		Launch: fakeworker.Launch(script), Log: log,
		Configure: &wire.Configure{Stations: []*wire.StationConfig{{Name: "line3/aoi-1"}}},
		Deliver:   func(_ int, m any) { r.station.Deliver(m) },
	})
	r.conn.listen(r.line.Subscriptions())
	if other == nil {
		other = r.worker
	}
	r.station.Start(tb.Context(), r.line, other)
	r.line.Start(tb.Context(), r.conn)
	tb.Cleanup(r.stop)
	return r
}

func (r *rig) stop() {
	r.station.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r.line.Stop(ctx)
	r.worker.Close()
	r.station.Close()
}

// trigger sends what a PLC sends.
func (r *rig) trigger(payload string) { r.conn.deliver("trigger", payload, false) }

func (r *rig) await(n int) []event.Inspection {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.conn.results(r.t)) >= n },
		10*time.Second, time.Millisecond, "%d results", n)
	return r.conn.results(r.t)
}

func (r *rig) awaitState(want event.State) event.StateData {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.line.State().State == want },
		10*time.Second, time.Millisecond, "state %s", want)
	return r.line.State()
}

func (r *rig) awaitAcks(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.conn.acks(r.t)) >= n },
		5*time.Second, time.Millisecond, "%d acknowledgements", n)
}

// conn is a broker in memory that takes everything at once.
type conn struct {
	mu       sync.Mutex
	said     []broker.Message
	handlers map[string]func(broker.Delivery)
	at       []time.Time    // of each result
	arrived  chan time.Time // the same, as long as there is room
}

func newConn() *conn {
	return &conn{arrived: make(chan time.Time, 1)}
}

func (c *conn) Publish(_ context.Context, m broker.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, m)
	if address, err := topic.Parse(m.Topic); err == nil && address.Leaf == topic.Result {
		now := time.Now()
		c.at = append(c.at, now)
		select {
		case c.arrived <- now:
		default:
		}
	}
	return nil
}

func (c *conn) listen(all []broker.Subscription) {
	c.handlers = map[string]func(broker.Delivery){}
	for _, s := range all {
		c.handlers[s.Filter] = s.Handle
	}
}

func (c *conn) deliver(leaf, payload string, retained bool) {
	name := "sightline/v1/acme/dongguan/smt/line3/aoi-1/" + leaf
	c.mu.Lock()
	handle := c.handlers[name]
	c.mu.Unlock()
	handle(broker.Delivery{Topic: name, Payload: []byte(payload), Retained: retained, At: time.Now()})
}

func (c *conn) payloads(leaf topic.Leaf) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found [][]byte
	for _, m := range c.said {
		if address, err := topic.Parse(m.Topic); err == nil && address.Leaf == leaf {
			found = append(found, m.Payload)
		}
	}
	return found
}

func (c *conn) results(tb testing.TB) []event.Inspection {
	tb.Helper()
	var all []event.Inspection
	for _, b := range c.payloads(topic.Result) {
		e, err := event.Decode(b)
		require.NoError(tb, err)
		in, err := event.DecodeInspection(e.Data)
		require.NoError(tb, err)
		require.Equal(tb, e.ID, in.ResultID)
		all = append(all, in)
	}
	return all
}

func (c *conn) acks(tb testing.TB) []event.TriggerAckMessage {
	tb.Helper()
	var all []event.TriggerAckMessage
	for _, b := range c.payloads(topic.TriggerAck) {
		var m event.TriggerAckMessage
		require.NoError(tb, json.Unmarshal(b, &m))
		all = append(all, m)
	}
	return all
}

// offers is an outbox in memory.
type offers struct {
	mu   sync.Mutex
	all  [][]byte
	fail error
}

func (o *offers) offer(_ bool, _ string, payload []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.all = append(o.all, payload)
	return nil
}

func (o *offers) payloads() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([][]byte(nil), o.all...)
}
