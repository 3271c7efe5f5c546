package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
)

const (
	anonymous = "allow_anonymous true"
	patience  = 10 * time.Second
	often     = 5 * time.Millisecond
)

func dial(tb testing.TB, o broker.Options) *broker.Conn {
	tb.Helper()
	if o.ClientID == "" {
		o.ClientID = "agent"
	}
	o.CleanSession = true
	c, err := broker.Dial(o)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}

func connected(tb testing.TB, c *broker.Conn) {
	tb.Helper()
	require.Eventually(tb, c.Connected, patience, often)
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func TestPublishedMessagesArriveInOrder(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL()})
	got := make(chan string, 100)
	take := func(d broker.Delivery) { got <- string(d.Payload) }
	require.NoError(t, c.Subscribe("line/+/trigger", 100, take))
	require.ErrorContains(t, c.Subscribe("line/+/trigger", 100, take), "already")
	connected(t, c)
	for i := range 100 {
		m := broker.Message{Topic: "line/1/trigger", QoS: 1, Payload: fmt.Append(nil, i)}
		require.NoError(t, c.Publish(within(t, patience), m))
	}
	for i := range 100 {
		require.Equal(t, strconv.Itoa(i), <-got)
	}
}

func TestRetainedMessageIsMarked(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL()})
	connected(t, c)
	state := broker.Message{Topic: "state", QoS: 1, Retained: true, Payload: []byte("on")}
	require.NoError(t, c.Publish(within(t, patience), state))
	got := make(chan broker.Delivery, 1)
	require.NoError(t, c.Subscribe("state", 1, func(d broker.Delivery) { got <- d }))
	d := <-got
	require.WithinDuration(t, time.Now(), d.At, patience)
	d.At = time.Time{}
	require.Equal(t, broker.Delivery{Topic: "state", Payload: []byte("on"), Retained: true}, d)
}

func TestPublishFailsAtOnceWhileDown(t *testing.T) {
	c := dial(t, broker.Options{URL: fmt.Sprintf("tcp://127.0.0.1:%d", brokertest.FreePort(t))})
	require.ErrorIs(t, c.Publish(t.Context(), broker.Message{Topic: "t", QoS: 1}), broker.ErrNotConnected)
	require.False(t, c.Connected())
}

// Fault 8: broker away.
func TestBrokerThatReturnsIsFoundWithinFiveSeconds(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	var states []bool
	var mu sync.Mutex
	c := dial(t, broker.Options{URL: m.URL(), OnState: func(up bool) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, up)
	}})
	got := make(chan struct{}, 1)
	require.NoError(t, c.Subscribe("t", 1, func(broker.Delivery) { got <- struct{}{} }))
	connected(t, c)
	m.Kill()
	require.Eventually(t, func() bool { return !c.Connected() }, time.Second, often)
	m.Run(t)
	require.Eventually(t, c.Connected, 5*time.Second, often)
	require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "t", QoS: 1}))
	<-got // subscribed again
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []bool{true, false, true}, states)
}

// Fault 8: half-open TCP.
func TestHalfOpenConnectionIsNoticedWithinOneAndAHalfKeepalive(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	keepAlive := 2 * time.Second
	c := dial(t, broker.Options{URL: p.URL(), KeepAlive: keepAlive})
	connected(t, c)
	s, err := c.Session(t.Context())
	require.NoError(t, err)
	p.Freeze()
	frozen := time.Now()
	select {
	case <-s.Lost():
		require.Less(t, time.Since(frozen), keepAlive*3/2)
	case <-time.After(patience):
		t.Fatal("not noticed")
	}
	p.Thaw()
	require.Eventually(t, c.Connected, 5*time.Second, often)
}

func TestPublishObeysItsDeadlineOnAFrozenConnection(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	c := dial(t, broker.Options{URL: p.URL(), KeepAlive: time.Minute})
	connected(t, c)
	p.Freeze()
	begin := time.Now()
	big := make([]byte, 4<<20) // more than the sockets hold: the library's writer blocks too
	for range 3 {
		err := c.Publish(within(t, 50*time.Millisecond), broker.Message{Topic: "t", QoS: 1, Payload: big})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.Less(t, time.Since(begin), time.Second)
}

// Fault 7 at this layer: what was not acknowledged on the living connection is reported as lost.
func TestPublicationIsNeverReportedAcknowledgedWhenTheConnectionDies(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	for range 20 {
		c := dial(t, broker.Options{URL: p.URL()})
		s, err := c.Session(within(t, patience))
		require.NoError(t, err)
		p.Freeze()
		var receipts []broker.Receipt
		for range 8 {
			r, err := s.Publish(t.Context(), broker.Message{Topic: "t", QoS: 1, Payload: []byte("x")})
			require.NoError(t, err)
			receipts = append(receipts, r)
		}
		p.Cut()
		p.Thaw()
		for _, r := range receipts {
			require.ErrorIs(t, r.Wait(within(t, patience)), broker.ErrLost)
		}
		c.Close()
	}
}

// Fault 9.
func TestTwoAgentsWithOneClientIDRaiseAnAlarmAndNoStorm(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	a := dial(t, broker.Options{URL: p.URL(), ClientID: "same"})
	b := dial(t, broker.Options{URL: p.URL(), ClientID: "same"})
	takeovers := func() uint64 { return a.Stats().Takeovers + b.Stats().Takeovers }
	require.Eventually(t, func() bool { return takeovers() >= 2 }, patience, often)
	before := p.Opened()
	<-time.After(3 * time.Second)
	require.LessOrEqual(t, p.Opened()-before, 8, "connects in three seconds")
	require.Less(t, p.Opened(), 20)
}

func TestSlowHandlerDropsAndCountsAndBlocksNobody(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL(), KeepAlive: 2 * time.Second})
	entered, release := make(chan struct{}, 100), make(chan struct{})
	require.NoError(t, c.Subscribe("slow", 2, func(broker.Delivery) { entered <- struct{}{}; <-release }))
	fast := make(chan struct{}, 1)
	require.NoError(t, c.Subscribe("fast", 1, func(broker.Delivery) { fast <- struct{}{} }))
	connected(t, c)
	require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "slow", QoS: 1}))
	<-entered
	for range 9 {
		require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "slow", QoS: 1}))
	}
	require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "fast", QoS: 1}))
	<-fast
	require.Equal(t, uint64(7), c.Stats().Overflows)
	close(release)
}

func TestHandlerMayPublish(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL()})
	answered := make(chan error, 1)
	require.NoError(t, c.Subscribe("ask", 1, func(broker.Delivery) {
		answered <- c.Publish(t.Context(), broker.Message{Topic: "answer", QoS: 1})
	}))
	connected(t, c)
	require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "ask", QoS: 1}))
	require.NoError(t, <-answered)
}

func TestEnormousMessageIsCutAndTheNextOneArrives(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	sender := dial(t, broker.Options{URL: m.URL(), ClientID: "sender"})
	receiver := dial(t, broker.Options{URL: m.URL(), ClientID: "receiver", MaxInbound: 1024})
	got := make(chan broker.Delivery, 2)
	require.NoError(t, receiver.Subscribe("t", 2, func(d broker.Delivery) { got <- d }))
	connected(t, sender)
	connected(t, receiver)
	ctx := within(t, patience)
	require.NoError(t, sender.Publish(ctx, broker.Message{Topic: "t", QoS: 1, Payload: make([]byte, 5<<20)}))
	require.NoError(t, sender.Publish(ctx, broker.Message{Topic: "t", QoS: 1, Payload: []byte("small")}))
	cut := <-got
	require.True(t, cut.Truncated)
	require.Less(t, len(cut.Payload), 1024)
	next := <-got
	require.Equal(t, "small", string(next.Payload))
	require.False(t, next.Truncated)
	require.Equal(t, uint64(1), receiver.Stats().Connects)
}

func TestWillIsPublishedWhenTheAgentVanishesAndNotWhenItCloses(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	watcher := dial(t, broker.Options{URL: m.URL(), ClientID: "watcher"})
	var wills atomic.Int32
	require.NoError(t, watcher.Subscribe("state", 4, func(broker.Delivery) { wills.Add(1) }))
	connected(t, watcher)
	will := &broker.Message{Topic: "state", QoS: 1, Payload: []byte("gone")}
	c, err := broker.Dial(broker.Options{URL: p.URL(), ClientID: "agent", Will: will, CleanSession: true})
	require.NoError(t, err)
	connected(t, c)
	p.Cut()
	require.Eventually(t, func() bool { return wills.Load() == 1 }, patience, often)
	connected(t, c)
	c.Close()
	require.NoError(t, watcher.Publish(within(t, patience), broker.Message{Topic: "state", QoS: 1}))
	require.Eventually(t, func() bool { return wills.Load() == 2 }, patience, often) // ours, no will
}

func TestRefusedSubscriptionIsSaidAndNeverCountsAsConnected(t *testing.T) {
	url := startMochi(t)
	var out syncBuffer
	c, err := broker.Dial(broker.Options{
		URL: url, ClientID: "a", CleanSession: true, Log: slog.New(slog.NewTextHandler(&out, nil)),
	})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Subscribe("forbidden", 1, func(broker.Delivery) {}))
	said := []byte("refuses to subscribe forbidden")
	require.Eventually(t, func() bool { return bytes.Contains(out.Bytes(), said) }, patience, often)
}

func TestCloseDuringConnectReturnsSoon(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	p := brokertest.NewProxy(t, m.URL())
	p.Freeze() // TCP is accepted, CONNACK never comes
	c, err := broker.Dial(broker.Options{URL: p.URL(), ClientID: "a", CleanSession: true})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return p.Opened() == 1 }, patience, often)
	begin := time.Now()
	c.Close()
	require.Less(t, time.Since(begin), time.Second)
}

func TestAcknowledgedPublishIsFast(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL()})
	connected(t, c)
	payload := make([]byte, 1024)
	times := make([]time.Duration, 0, 2000)
	for range cap(times) {
		begin := time.Now()
		require.NoError(t, c.Publish(t.Context(), broker.Message{Topic: "result", QoS: 1, Payload: payload}))
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	t.Logf("QoS 1 publish to PUBACK: p50 %s p99 %s", times[len(times)/2], times[len(times)*99/100])
	require.Less(t, times[len(times)/2], 10*time.Millisecond) // for a busy machine; the goal is 0.3 ms
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}
