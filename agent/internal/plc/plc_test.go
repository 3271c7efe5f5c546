package plc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clock() int64 { return time.Now().UnixNano() }

func place(tb testing.TB) topic.Station {
	tb.Helper()
	s, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(tb, err)
	return s
}

// conn is a broker in memory that can be away or hang.
type conn struct {
	mu       sync.Mutex
	said     []broker.Message
	handlers map[string]func(broker.Delivery)
	away     bool
	hung     bool
}

func (c *conn) Publish(ctx context.Context, m broker.Message) error {
	c.mu.Lock()
	away, hung := c.away, c.hung
	if !away && !hung {
		c.said = append(c.said, m)
	}
	c.mu.Unlock()
	if hung {
		<-ctx.Done()
		return ctx.Err()
	}
	if away {
		return broker.ErrNotConnected
	}
	return nil
}

func (c *conn) listen(all []broker.Subscription) {
	c.handlers = map[string]func(broker.Delivery){}
	for _, s := range all {
		c.handlers[s.Filter] = s.Handle
	}
}

func (c *conn) set(away, hung bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away, c.hung = away, hung
}

func (c *conn) of(leaf topic.Leaf) []broker.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []broker.Message
	for _, m := range c.said {
		if a, err := topic.Parse(m.Topic); err == nil && a.Leaf == leaf {
			found = append(found, m)
		}
	}
	return found
}

func (c *conn) results() []string {
	var ids []string
	for _, m := range c.of(topic.Result) {
		ids = append(ids, string(m.Payload))
	}
	return ids
}

// rig is a handshake on that broker.
type rig struct {
	*plc.Handshake
	t        *testing.T
	conn     *conn
	place    topic.Station
	mu       sync.Mutex
	triggers []plc.Trigger
	news     int
}

func start(t *testing.T, triggered bool) *rig {
	t.Helper()
	r := &rig{t: t, conn: &conn{}, place: place(t)}
	r.Handshake = plc.New(plc.Options{
		Station: r.place, Triggered: triggered, Now: clock, Log: slog.New(slog.DiscardHandler),
		Trigger: func(tr plc.Trigger) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.triggers = append(r.triggers, tr)
		},
		Announce: func([]byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.news++
		},
	})
	r.conn.listen(r.Subscriptions())
	r.Start(t.Context(), r.conn)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		r.Stop(ctx)
	})
	return r
}

func (r *rig) deliver(leaf topic.Leaf, d broker.Delivery) {
	d.Topic, d.At = r.place.Topic(leaf), time.Now()
	r.conn.mu.Lock()
	handle := r.conn.handlers[d.Topic]
	r.conn.mu.Unlock()
	handle(d)
}

func (r *rig) ack(id string) {
	r.deliver(topic.ResultAck, broker.Delivery{Payload: fmt.Appendf(nil, `{"resultId":%q}`, id)})
}

// inBubble runs a test on synthetic time.
func inBubble(t *testing.T, triggered bool, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, triggered)
		synctest.Wait()
		test(r)
	})
}

func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // synthetic time
	synctest.Wait()
}

func TestHeldResultsAreSentAgainToANewConnectionUntilAcknowledged(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		for i := range 3 {
			r.Result(strconv.Itoa(i), fmt.Append(nil, i))
		}
		synctest.Wait()
		require.Equal(t, []string{"0", "1", "2"}, r.conn.results())
		r.ack("1")
		r.Connected(false)
		r.Connected(true)
		synctest.Wait()
		require.Equal(t, []string{"0", "1", "2", "0", "2"}, r.conn.results())
		r.ack("0")
		r.ack("2")
		r.Connected(true)
		synctest.Wait()
		require.Len(t, r.conn.results(), 5)
		require.EqualValues(t, 2, r.Republished())
		require.Zero(t, r.Counts().UnknownAcks.Load())
		r.ack("2")
		require.EqualValues(t, 1, r.Counts().UnknownAcks.Load())
	})
}

// The broker has returned and with it the agent, but the PLC only seconds later: it must still get its
// results.
func TestAPLCThatReconnectsLateGetsWhatItMissed(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		r.Result("missed", []byte("missed"))
		synctest.Wait()
		r.Connected(true)
		r.Result("fresh", []byte("fresh"))
		pass(4500 * time.Millisecond)
		require.Equal(t, []string{"missed", "missed", "fresh", "missed", "missed"}, r.conn.results())
		pass(time.Hour)
		require.Len(t, r.conn.results(), 6, "and no more than that")
	})
}

func TestWithoutTriggersResultsNeedNoAcknowledgement(t *testing.T) {
	inBubble(t, false, func(r *rig) {
		t := r.t
		for i := range 100 {
			r.Result(strconv.Itoa(i), fmt.Append(nil, i))
			synctest.Wait()
		}
		require.Len(t, r.conn.results(), 100)
		require.False(t, r.State().Overrun)
		require.Zero(t, r.State().HeldResults)
	})
}

func TestTheNinthUnacknowledgedResultOverruns(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		for i := range plc.Depth {
			require.False(t, r.Overrun())
			r.Result(strconv.Itoa(i), nil)
			synctest.Wait()
		}
		require.True(t, r.Overrun(), "the next one will")
		require.False(t, r.State().Overrun)
		r.Result("8", nil)
		synctest.Wait()
		require.True(t, r.State().Overrun)
		require.Equal(t, plc.Depth, r.State().HeldResults, "the oldest is held no longer")
		require.Len(t, r.conn.results(), 9, "and each was published")
		r.ack("8")
		require.False(t, r.State().Overrun, "the PLC keeps up again")
	})
}

func TestResetForgetsHeldResultsAndTheOverrun(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		for i := range plc.Depth + 1 {
			r.Result(strconv.Itoa(i), nil)
			synctest.Wait()
		}
		r.deliver(topic.Command, broker.Delivery{Payload: []byte(`{"command":"explode"}`)})
		r.deliver(topic.Command, broker.Delivery{Payload: []byte(`{`)})
		r.deliver(topic.Command, broker.Delivery{Payload: []byte(`{"command":"reset"}`), Retained: true})
		require.True(t, r.State().Overrun)
		require.EqualValues(t, 1, r.Counts().Refused.Load())
		require.EqualValues(t, 1, r.Counts().Malformed.Load())
		require.EqualValues(t, 1, r.Counts().Retained.Load())
		r.deliver(topic.Command, broker.Delivery{Payload: []byte(`{"command":"reset"}`)})
		require.False(t, r.State().Overrun)
		require.Zero(t, r.State().HeldResults)
	})
}

func TestABrokerThatIsAwayCostsTheStationNoTimeAndNoResult(t *testing.T) {
	for name, spoil := range map[string]func(*conn){
		"away": func(c *conn) { c.set(true, false) },
		"hung": func(c *conn) { c.set(false, true) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, true, func(r *rig) {
				t := r.t
				spoil(r.conn)
				begin := time.Now()
				for i := range 20 {
					r.Answer(event.TriggerAckMessage{PartID: strconv.Itoa(i)})
					r.Result(strconv.Itoa(i), fmt.Append(nil, i))
				}
				require.Zero(t, time.Since(begin))
				require.True(t, r.State().Overrun)
				pass(time.Minute)
				require.Empty(t, r.conn.results())
				r.conn.set(false, false)
				r.Connected(true)
				pass(3 * time.Second)
				require.GreaterOrEqual(t, len(r.conn.results()), 20)
				for i, id := range r.conn.results()[:20] {
					require.Equal(t, strconv.Itoa(i), id)
				}
			})
		})
	}
}

func TestAnEndlessOutageIsBoundedAndCounted(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		r.conn.set(true, false)
		for i := range 1000 {
			r.Result(strconv.Itoa(i), fmt.Append(nil, i))
			r.Exposed(event.AcquisitionMessage{})
		}
		require.LessOrEqual(t, r.State().HeldResults, 64)
		require.EqualValues(t, 936, r.Counts().ResultsLost.Load())
		pass(time.Minute)
		require.EqualValues(t, 1000, r.Counts().Lost.Load())
		r.conn.set(false, false)
		r.Connected(true)
		pass(time.Second)
		require.Equal(t, "999", r.conn.results()[63])
	})
}

func TestStateIsRetainedWithAHeartbeatAndSaidAtOnceWhenItChanges(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		states := func() (all []event.StateData) {
			for _, m := range r.conn.of(topic.State) {
				require.True(t, m.Retained)
				e, err := event.Decode(m.Payload)
				require.NoError(t, err)
				require.Equal(t, event.TypeState, e.Type)
				var s event.StateData
				require.NoError(t, json.Unmarshal(e.Data, &s))
				all = append(all, s)
			}
			return all
		}
		require.Equal(t, event.Preoperational, states()[0].State)
		pass(3500 * time.Millisecond)
		require.Len(t, states(), 4)
		require.EqualValues(t, 3, states()[3].Heartbeat)
		require.Equal(t, 1, r.news, "a heartbeat is no news for the cloud")
		r.SetState(event.StateData{State: event.Ready, TriggerReady: true})
		synctest.Wait()
		require.Equal(t, event.Ready, states()[4].State)
		require.Equal(t, 2, r.news)
		r.SetState(event.StateData{State: event.Ready, TriggerReady: true})
		synctest.Wait()
		require.Len(t, states(), 5, "no change, no message")
		r.Connected(true)
		synctest.Wait()
		require.Len(t, states(), 6, "a new connection is told")
	})
}

func TestTheWillSaysThatTheAgentIsGone(t *testing.T) {
	h := plc.New(plc.Options{Station: place(t), Log: slog.New(slog.DiscardHandler), Now: clock})
	will, err := h.Will()
	require.NoError(t, err)
	require.True(t, will.Retained)
	require.Equal(t, place(t).Topic(topic.State), will.Topic)
	e, err := event.Decode(will.Payload)
	require.NoError(t, err)
	require.Contains(t, string(e.Data), `"state":"Error"`)
	require.Contains(t, string(e.Data), `"agent offline"`)
}

func TestTriggersAreReadOrTheirFaultIsNamed(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		for _, payload := range []string{
			`{"partId":"P","productId":"B","encoder":7,"more":true}`, ``, `{`,
			`{"partId":"P","productId":"` + strings.Repeat("x", 200) + `"}`,
			`{"partId":"` + strings.Repeat("x", 5000) + `"}`,
		} {
			r.deliver(topic.Trigger, broker.Delivery{Payload: []byte(payload)})
		}
		r.deliver(topic.Trigger, broker.Delivery{Payload: []byte(`{}`), Truncated: true})
		r.deliver(topic.Trigger, broker.Delivery{Payload: []byte(`{}`), Retained: true})
		require.Len(t, r.triggers, 6)
		for i, want := range []struct {
			part  string
			fault bool
		}{{"P", false}, {"", false}, {"", true}, {"P", true}, {"", true}, {"", true}} {
			require.Equal(t, want.part, r.triggers[i].PartID, "trigger %d", i)
			require.Equal(t, want.fault, r.triggers[i].Fault != nil, "trigger %d", i)
		}
		require.EqualValues(t, 4, r.Counts().Malformed.Load())
		require.EqualValues(t, 1, r.Counts().Retained.Load())
		synctest.Wait()
		require.Contains(t, string(r.conn.of(topic.TriggerAck)[0].Payload), plc.RefusedRetained)
	})
}

// A broker that delivers what was not asked for would else have one station inspect for another.
func TestATriggerOfAnotherStationIsRefusedByName(t *testing.T) {
	inBubble(t, true, func(r *rig) {
		t := r.t
		other, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-2")
		require.NoError(t, err)
		r.conn.handlers[r.place.Topic(topic.Trigger)](broker.Delivery{
			Topic: other.Topic(topic.Trigger), Payload: []byte(`{"partId":"P"}`), At: time.Now(),
		})
		require.Len(t, r.triggers, 1)
		require.EqualError(t, r.triggers[0].Fault, "it came on another topic")
		require.Empty(t, r.triggers[0].PartID, "the part is the other station's")
		require.EqualValues(t, 1, r.Counts().Malformed.Load())
	})
}

// The deadline of a part that has waited to be read is as near as that of one that has not.
func TestATriggerThatWaitsBehindABlockedStationHasTheTimeOfItsReceipt(t *testing.T) {
	server := brokertest.Start(t, "allow_anonymous true")
	entered, release := make(chan plc.Trigger), make(chan struct{})
	h := plc.New(plc.Options{
		Station: place(t), Triggered: true, Now: clock, Log: slog.New(slog.DiscardHandler),
		Announce: func([]byte) {}, Trigger: func(tr plc.Trigger) { entered <- tr; <-release },
	})
	behind := make(chan struct{})
	line, err := broker.Dial(broker.Options{
		URL: server.URL(), ClientID: "agent", CleanSession: true,
		Subscriptions: append(h.Subscriptions(), broker.Subscription{
			Filter: "behind", Depth: 1, Handle: func(broker.Delivery) { close(behind) },
		}),
	})
	require.NoError(t, err)
	t.Cleanup(line.Close)
	require.Eventually(t, line.Connected, 10*time.Second, time.Millisecond)
	trigger := place(t).Topic(topic.Trigger)
	for _, name := range []string{trigger, trigger, "behind"} {
		require.NoError(t, line.Publish(t.Context(), broker.Message{Topic: name, QoS: 1}))
	}
	first := <-entered
	<-behind // one connection keeps the order: the second trigger is here, too
	freed := clock()
	close(release)
	second := <-entered
	require.Less(t, second.AtNs, freed)
	require.LessOrEqual(t, second.At.UnixNano(), freed)
	require.LessOrEqual(t, first.AtNs, second.AtNs)
}

func TestStopSendsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{}
		h := plc.New(plc.Options{
			Station: place(t), Triggered: true, Now: clock, Log: slog.New(slog.DiscardHandler),
			Announce: func([]byte) {}, Trigger: func(plc.Trigger) {},
		})
		h.Start(t.Context(), c)
		for i := range 20 {
			h.Result(strconv.Itoa(i), fmt.Append(nil, i))
			h.Answer(event.TriggerAckMessage{})
		}
		h.SetState(event.StateData{State: event.Halted})
		h.Stop(t.Context())
		require.Len(t, c.results(), 20)
		require.Len(t, c.of(topic.TriggerAck), 20)
		states := c.of(topic.State)
		require.Contains(t, string(states[len(states)-1].Payload), "Halted")
	})
}

func TestStopWithADeadBrokerEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{hung: true}
		h := plc.New(plc.Options{
			Station: place(t), Triggered: true, Now: clock, Log: slog.New(slog.DiscardHandler),
			Announce: func([]byte) {}, Trigger: func(plc.Trigger) {},
		})
		h.Start(t.Context(), c)
		h.Result("0", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		h.Stop(ctx)
		require.LessOrEqual(t, time.Since(begin), time.Second)
	})
}
