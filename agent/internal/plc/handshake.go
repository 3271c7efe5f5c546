// Package plc is one station's handshake with its PLC over the line's own broker: triggers in;
// acknowledgement, acquisition, result and state out. Results are held until the PLC acknowledges them. No
// method that the station calls ever waits for the broker.
package plc

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/sparse"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	heartbeat   = time.Second
	retryAfter  = 200 * time.Millisecond // a publication that failed on a live connection
	repeats     = 3
	firstRepeat = time.Second
	patience    = 2 * time.Second // for one acknowledgement of the broker
	lane        = 256             // messages waiting for the broker, results and state not counted
)

// conn is the connection to the line's broker.
type conn interface {
	Publish(ctx context.Context, m broker.Message) error
}

// Options say whose handshake it is.
type Options struct {
	Station topic.Station
	// Triggered says that the PLC triggers (mode mqtt): then results are held until it acknowledges them.
	Triggered bool
	// Trigger takes each trigger. It may wait for the station, never for the broker.
	Trigger func(Trigger)
	// Override takes what an operator says of a part; answer may be called at any time, and from anywhere.
	// It must not wait. Nil: overrides are refused.
	Override func(m event.OverrideMessage, at time.Time, answer func(event.OverrideAckMessage))
	// Announce is given each state event that says something new, for the uplink. It must not wait.
	Announce func(payload []byte)
	Now      func() int64 // CLOCK_MONOTONIC nanoseconds
	Log      *slog.Logger
}

// Counts are what went wrong since the start.
type Counts struct {
	Malformed    atomic.Uint64 // messages of the PLC that cannot be read
	Retained     atomic.Uint64 // triggers, acknowledgements and commands refused because they are retained
	UnknownAcks  atomic.Uint64 // acknowledgements of results that are not held
	Refused      atomic.Uint64 // commands that are not known
	NotKept      atomic.Uint64 // overrides that became no sample, those that cannot be read not among them
	Lost         atomic.Uint64 // acknowledgements and acquisitions that the broker did not take
	ResultsLost  atomic.Uint64 // results that never reached the broker
	NotDelivered atomic.Uint64 // attempts to publish a result that failed
}

// Handshake is safe for concurrent use.
type Handshake struct {
	opts   Options
	counts Counts

	mu      sync.Mutex
	results results
	state   event.StateData
	// The broker's return is the PLC's too, and the PLC may take longer: what it may have missed is sent
	// again some times, each wait twice as long as the one before.
	repeats  int
	repeatNs int64

	messages  chan broker.Message
	pending   chan struct{} // results to send
	changed   chan struct{} // state may have news
	connected chan struct{} // state to say
	stopping  chan struct{}
	cancel    context.CancelFunc
	done      sync.WaitGroup
	warn      *sparse.Log
}

// New makes a handshake that is Preoperational and not yet connected.
func New(opts Options) *Handshake {
	return &Handshake{
		opts: opts, results: results{hold: opts.Triggered},
		state:    event.StateData{State: event.Preoperational},
		messages: make(chan broker.Message, lane), pending: make(chan struct{}, 1),
		changed: make(chan struct{}, 1), connected: make(chan struct{}, 1), stopping: make(chan struct{}),
		warn: sparse.New(opts.Log.With("station", opts.Station.Path()), opts.Now),
	}
}

// Will is what the broker says of the station when the agent is gone.
func (h *Handshake) Will() (broker.Message, error) {
	return h.stateMessage(event.StateData{State: event.Error, Reason: "agent offline"})
}

// Start speaks until Stop. The connection has the handshake's Subscriptions from its begin: a PLC that sees
// Ready may trigger at once.
func (h *Handshake) Start(ctx context.Context, c conn) {
	ctx, h.cancel = context.WithCancel(ctx)
	h.done.Go(func() { h.sendResults(ctx, c) })
	h.done.Go(func() { h.sendMessages(ctx, c) })
	h.done.Go(func() { h.sendStates(ctx, c) })
}

// Stop gives what is unsent until the end of ctx, then ends. The station has stopped before.
func (h *Handshake) Stop(ctx context.Context) {
	close(h.stopping)
	stop := context.AfterFunc(ctx, h.cancel)
	h.done.Wait()
	stop()
	h.cancel()
}

// Connected is told of each change of the connection. A new one gets everything that is still held, and the
// state.
func (h *Handshake) Connected(up bool) {
	if !up {
		return
	}
	h.mu.Lock()
	h.results.renew()
	h.repeats, h.repeatNs = repeats, h.opts.Now()+int64(firstRepeat)
	h.mu.Unlock()
	wake(h.pending)
	wake(h.connected)
}

// Counts returns the live counts.
func (h *Handshake) Counts() *Counts { return &h.counts }

// Overrun says whether the next result must carry the overrun flag. The station's goroutine alone adds
// results.
func (h *Handshake) Overrun() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.results.full()
}

// Result hands over a part's encoded result. It is sent at once, and again after each new connection until
// the PLC has acknowledged it.
func (h *Handshake) Result(id string, payload []byte) {
	h.mu.Lock()
	before := h.results.dropped
	was := h.results.overrun
	h.results.add(id, payload)
	lost, news := h.results.dropped-before, h.results.overrun != was
	h.mu.Unlock()
	wake(h.pending)
	if news {
		wake(h.changed)
	}
	if lost > 0 {
		h.counts.ResultsLost.Add(lost)
		h.warn.Warn("results lost: the local broker has been away for too long")
	}
}

// Republished counts the results that were sent again after a new connection.
func (h *Handshake) Republished() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.results.repeated
}

// repeat sends results again when that is due.
func (h *Handshake) repeat() {
	h.mu.Lock()
	now := h.opts.Now()
	due := h.repeats > 0 && now >= h.repeatNs
	if due {
		h.repeats--
		h.repeatNs = now + int64(firstRepeat)<<(repeats-h.repeats)
		h.results.repeat()
	}
	h.mu.Unlock()
	if due {
		wake(h.pending)
	}
}

// Answer acknowledges or refuses a trigger.
func (h *Handshake) Answer(m event.TriggerAckMessage) { h.say(topic.TriggerAck, m) }

// Exposed tells the PLC that the part may move.
func (h *Handshake) Exposed(m event.AcquisitionMessage) { h.say(topic.Acquisition, m) }

// SetState says what the station is; heartbeat, overrun and held results are the handshake's own to fill in.
func (h *Handshake) SetState(s event.StateData) {
	h.mu.Lock()
	h.state = s
	h.mu.Unlock()
	wake(h.changed)
}

// State returns what the PLC is told now.
func (h *Handshake) State() event.StateData {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.state
	s.Overrun, s.HeldResults = h.results.overrun, len(h.results.entries)
	return s
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
