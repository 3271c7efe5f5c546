package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

const pcbDefects = "../../../models/pcb-defects"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveMQTT runs a broker on the port until the returned function ends it.
func serveMQTT(t *testing.T, port int) (stop func()) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, server.AddHook(new(everybody), nil))
	require.NoError(t, server.AddListener(listeners.NewTCP(listeners.Config{
		ID: "t", Address: fmt.Sprintf("127.0.0.1:%d", port),
	})))
	require.NoError(t, server.Serve())
	return sync.OnceFunc(func() { require.NoError(t, server.Close()) })
}

// everybody may do everything.
type everybody struct{ mochi.HookBase }

func (*everybody) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (*everybody) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*everybody) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// configured returns a configuration of one station in mode mqtt.
func configured(t *testing.T, port int, extra string) *config.Loaded {
	t.Helper()
	bundleDir, err := filepath.Abs(pcbDefects)
	require.NoError(t, err)
	cfg, err := config.Parse(fmt.Appendf(nil, `
place: acme/dongguan/smt
mqtt: {local: "tcp://127.0.0.1:%d", client_id: node-7}
state_dir: %s
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: "sim:"
    bundle: %s
    trigger: {mode: mqtt, deadline: 200ms}
%s`, port, t.TempDir(), bundleDir, extra))
	require.NoError(t, err)
	return cfg
}

// runAgent runs the agent until the returned function stops it, which must take less than five seconds.
func runAgent(t *testing.T, o app.Options) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			t.Error("the agent did not stop within five seconds")
		}
	})
	t.Cleanup(stop)
	return stop
}

// plcClient triggers, takes results and acknowledges them, as a PLC does.
type plcClient struct {
	t       *testing.T
	conn    *broker.Conn
	place   topic.Station
	mu      sync.Mutex
	results []event.Inspection
	states  []event.StateData
}

func connectPLC(t *testing.T, port int) *plcClient {
	t.Helper()
	return connectPLCAs(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), config.Login{})
}

func connectPLCAs(t *testing.T, url string, as config.Login) *plcClient {
	t.Helper()
	place, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(t, err)
	p := &plcClient{t: t, place: place}
	p.conn, err = broker.Dial(broker.Options{
		URL: url, ClientID: "plc", Username: as.Username, PasswordFile: as.PasswordFile, CleanSession: true,
		Subscriptions: []broker.Subscription{
			{Filter: place.Topic(topic.Result), Depth: 1024, Handle: p.onResult},
			{Filter: place.Topic(topic.State), Depth: 1024, Handle: p.onState},
		},
	})
	require.NoError(t, err)
	t.Cleanup(p.conn.Close)
	return p
}

func (p *plcClient) onResult(d broker.Delivery) {
	e, err := event.Decode(d.Payload)
	if err != nil {
		p.t.Error(err)
		return
	}
	in, err := event.DecodeInspection(e.Data)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	p.results = append(p.results, in)
	p.mu.Unlock()
	_ = p.conn.Publish(context.Background(), broker.Message{
		Topic: p.place.Topic(topic.ResultAck), QoS: 1,
		Payload: fmt.Appendf(nil, `{"resultId":%q}`, in.ResultID),
	})
}

func (p *plcClient) onState(d broker.Delivery) {
	e, err := event.Decode(d.Payload)
	if err != nil {
		p.t.Error(err)
		return
	}
	var s event.StateData
	if err := json.Unmarshal(e.Data, &s); err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	p.states = append(p.states, s)
	p.mu.Unlock()
}

func (p *plcClient) trigger(part string) {
	p.t.Helper()
	_, err := p.conn.Session(p.t.Context()) // a retained state may come before it is announced
	require.NoError(p.t, err)
	require.NoError(p.t, p.conn.Publish(p.t.Context(), broker.Message{
		Topic: p.place.Topic(topic.Trigger), QoS: 1, Payload: fmt.Appendf(nil, `{"partId":%q}`, part),
	}))
}

func (p *plcClient) taken() []event.Inspection {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]event.Inspection(nil), p.results...)
}

func (p *plcClient) await(n int) []event.Inspection {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return len(p.taken()) >= n },
		15*time.Second, time.Millisecond, "%d results", n)
	return p.taken()
}

func (p *plcClient) awaitState(want event.State) event.StateData {
	p.t.Helper()
	var last event.StateData
	require.Eventually(p.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.states); n > 0 {
			last = p.states[n-1]
		}
		return last.State == want
	}, 15*time.Second, time.Millisecond, "state %s", want)
	return last
}

func TestPartsGoFromTriggerToAcknowledgedResult(t *testing.T) {
	port := brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, port))
	p := connectPLC(t, port)
	stop := runAgent(t, app.Options{
		Config: configured(t, port, ""), Log: slog.New(slog.DiscardHandler),
		Launch: fakeworker.Launch(fakeworker.Script{
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				p.Answer(m, &wire.Detection{Score: 0.99, X2: 20, Y2: 20})
			},
		}),
	})
	p.awaitState(event.Ready)
	const parts = 50
	for i := range parts {
		p.trigger(fmt.Sprintf("P%d", i))
		p.await(i + 1)
	}
	for i, in := range p.taken() {
		require.Equal(t, fmt.Sprintf("P%d", i), in.PartID)
		require.Equal(t, event.Fail, in.Verdict)
		require.False(t, in.Overrun)
	}
	stop()
	require.Equal(t, "the agent was stopped", p.awaitState(event.Halted).Reason)
	require.Len(t, p.taken(), parts)
}

func TestBrokerAwayAtStartIsNoError(t *testing.T) {
	port := brokertest.FreePort(t)
	cfg := configured(t, port, "")
	cfg.MQTT.Uplink = fmt.Sprintf("tcp://127.0.0.1:%d", brokertest.FreePort(t)) // it stays away
	cfg.Health.Listen = "127.0.0.1:0"
	started := make(chan string, 1)
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(fakeworker.Script{}),
		Started: func(health string) { started <- health },
	})
	health := <-started
	for _, metric := range []string{
		"\n" + `sightline_line_total{station="acme/dongguan/smt/line3/aoi-1",what="broker_failures"} `,
		"\nsightline_uplink_failures_total ",
	} {
		require.Eventually(t, func() bool {
			_, after, found := strings.Cut(get(t, health, "/metrics"), metric)
			n := 0
			_, err := fmt.Sscan(after, &n)
			return found && err == nil && n >= 2
		}, 10*time.Second, 10*time.Millisecond, metric)
	}
	t.Cleanup(serveMQTT(t, port))
	p := connectPLC(t, port)
	p.awaitState(event.Ready)
	p.trigger("P")
	require.Equal(t, event.Pass, p.await(1)[0].Verdict)
}

// Without a goodbye the broker tells the line that the agent is gone, until it is back.
func TestALostConnectionLeavesTheWill(t *testing.T) {
	port := brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, port))
	proxy := brokertest.NewProxy(t, fmt.Sprintf("tcp://127.0.0.1:%d", port))
	cfg := configured(t, port, "")
	cfg.MQTT.Local = proxy.URL()
	p := connectPLC(t, port)
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(fakeworker.Script{}),
	})
	p.awaitState(event.Ready)
	proxy.Cut()
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.states, func(s event.StateData) bool {
			return s.State == event.Error && s.Reason == "agent offline" && !s.TriggerReady
		})
	}, 10*time.Second, time.Millisecond)
	p.awaitState(event.Ready)
}

func TestResultsOfAnOutageComeWhenTheBrokerReturns(t *testing.T) {
	port := brokertest.FreePort(t)
	stopBroker := serveMQTT(t, port)
	answer := make(chan func(), 1)
	runAgent(t, app.Options{
		Config: configured(t, port, ""), Log: slog.New(slog.DiscardHandler),
		Launch: fakeworker.Launch(fakeworker.Script{
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) { answer <- func() { p.Answer(m) } },
		}),
	})
	p := connectPLC(t, port)
	p.awaitState(event.Ready)
	p.trigger("P")
	var give func()
	select {
	case give = <-answer:
	case <-time.After(10 * time.Second):
		t.Fatal("the trigger did not reach the worker")
	}
	stopBroker()
	give()
	t.Cleanup(serveMQTT(t, port))
	in := p.await(1)[0]
	require.Equal(t, "P", in.PartID)
	require.Equal(t, event.Pass, in.Verdict)
}

func TestWrongConfigurationIsRefusedBeforeAnythingRuns(t *testing.T) {
	for name, c := range map[string]struct{ extra, want string }{
		"class that the bundle lacks": {
			"    verdict: {classes: {scratch: {verdict: ignore}}}\n", "it knows open, short",
		},
		"no such bundle": {
			"  - {name: line3/aoi-2, camera: \"sim:\", bundle: no-such}\n", "no-such",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := app.Run(t.Context(), app.Options{
				Config: configured(t, brokertest.FreePort(t), c.extra), Log: slog.New(slog.DiscardHandler),
				Launch: fakeworker.Launch(fakeworker.Script{}),
			})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTheWorkerIsStartedWithItsMemoryLimit(t *testing.T) {
	for extra, want := range map[string]string{
		"":                                     "--log-format json\n",
		"worker: {memory_limit: 4294967296}\n": "--log-format json --memory-limit 4294967296\n",
	} {
		port := brokertest.FreePort(t)
		t.Cleanup(serveMQTT(t, port))
		cfg := configured(t, port, extra)
		dir := t.TempDir()
		cfg.Worker.Path = filepath.Join(dir, "worker")
		require.NoError(t, os.WriteFile(cfg.Worker.Path,
			[]byte("#!/bin/sh\ncd \"${0%/*}\" && echo \"$@\" > said && mv said args\n"), 0o700))
		stop := runAgent(t, app.Options{Config: cfg, Log: slog.New(slog.DiscardHandler)})
		var args []byte
		require.Eventually(t, func() bool {
			args, _ = os.ReadFile(filepath.Join(dir, "args"))
			return len(args) > 0
		}, 10*time.Second, 10*time.Millisecond)
		stop()
		require.Equal(t, want, string(args))
	}
}

func TestTheCloudGetsTheSameBytesAndHealthSaysHowItIs(t *testing.T) {
	local, cloud := brokertest.FreePort(t), brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, local))
	t.Cleanup(serveMQTT(t, cloud))
	cfg := configured(t, local, "")
	cfg.MQTT.Uplink = fmt.Sprintf("tcp://127.0.0.1:%d", cloud)
	cfg.Health.Listen = fmt.Sprintf("127.0.0.1:%d", brokertest.FreePort(t))
	atLine, atCloud := collect(t, local, topic.Result), collect(t, cloud, topic.Inspection)
	p := connectPLC(t, local)
	stop := runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(fakeworker.Script{
			Counts: []*wire.StationCount{{Captured: 30, BadFrames: 3, StaleFrames: 4, Reconnects: 5}},
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				p.Answer(m, &wire.Detection{Score: 0.99, X2: 20, Y2: 20})
			},
			Settle: func(p *fakeworker.Peer, m *wire.Settle) {
				p.Send(wire.KindEvidence, &wire.Evidence{Job: m.GetJob(), Jpeg: []byte{0xff, 0xd8}})
			},
		}),
	})
	p.awaitState(event.Ready)
	const parts = 20
	for i := range parts {
		p.trigger(fmt.Sprintf("P%d", i))
		p.await(i + 1)
	}
	require.Contains(t, get(t, cfg.Health.Listen, "/readyz"), `"state":"Ready"`)
	require.Eventually(t, func() bool {
		pictures, err := filepath.Glob(filepath.Join(cfg.Evidence.Dir, "*", "line3-aoi-1", "*-0.jpg"))
		return err == nil && len(pictures) == parts
	}, 10*time.Second, 10*time.Millisecond)
	metrics := ""
	require.Eventually(t, func() bool { // the first heartbeat may be on its way
		metrics = get(t, cfg.Health.Listen, "/metrics")
		return strings.Contains(metrics, "sightline_frames_total")
	}, 10*time.Second, 10*time.Millisecond)
	for _, want := range []string{
		`sightline_parts_total{station="acme/dongguan/smt/line3/aoi-1",verdict="FAIL"} 20`,
		`sightline_decision_seconds_count{station="acme/dongguan/smt/line3/aoi-1"} 20`,
		`sightline_worker_total{what="starts"} 1`,
		`sightline_frames_total{station="acme/dongguan/smt/line3/aoi-1",what="captured"} 30`,
		`sightline_frames_total{station="acme/dongguan/smt/line3/aoi-1",what="bad"} 3`,
		`sightline_frames_total{station="acme/dongguan/smt/line3/aoi-1",what="stale"} 4`,
		`sightline_camera_reconnects_total{station="acme/dongguan/smt/line3/aoi-1"} 5`,
		`sightline_station_state{state="Ready",station="acme/dongguan/smt/line3/aoi-1"} 1`,
	} {
		require.Contains(t, metrics, want)
	}
	stop()
	require.Eventually(t, func() bool { return len(atCloud()) >= parts }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, atLine(), atCloud())
}

// collect subscribes a leaf of the station and returns what has come so far.
func collect(t *testing.T, port int, leaf topic.Leaf) func() []string {
	t.Helper()
	place, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(t, err)
	var mu sync.Mutex
	var all []string
	take := func(d broker.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, string(d.Payload))
	}
	up := make(chan struct{}, 16)
	conn, err := broker.Dial(broker.Options{
		URL: fmt.Sprintf("tcp://127.0.0.1:%d", port), ClientID: "collect-" + string(leaf), CleanSession: true,
		OnState:       func(bool) { up <- struct{}{} },
		Subscriptions: []broker.Subscription{{Filter: place.Topic(leaf), Depth: 1024, Handle: take}},
	})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	<-up
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	url := "http://" + address + path
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}
