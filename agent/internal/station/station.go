// Package station joins what makes one inspection station: triggers, its worker's answers, the part ledger,
// the verdict rules, the PLC and the way to the cloud. One goroutine owns all of it and waits for none of
// them.
package station

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/agent/internal/part"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/sparse"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	inbox     = 64                     // triggers, and worker messages, that wait for the station
	farAway   = time.Hour              // the timer when nothing is due
	askAgain  = 100 * time.Millisecond // after a request that gave no frame
	hangs     = 10 * time.Second       // a turn takes microseconds
	clipBytes = 256                    // of a worker's text in an event
	// fallbackBytes bounds a text that has a sentence for each execution provider.
	fallbackBytes = 512
	cut           = "…"
	stopped       = "the agent was stopped"
)

// worker is what a station asks of the vision worker. Neither call blocks.
type worker interface {
	Inspect(m *wire.Inspect) error
	Settle(m *wire.Settle) error
}

// line is what a station tells its PLC. No call blocks.
type line interface {
	Answer(m event.TriggerAckMessage)
	Exposed(m event.AcquisitionMessage)
	Result(id string, payload []byte)
	status
}

type status interface {
	Overrun() bool
	SetState(s event.StateData)
}

// Options say what the station is.
type Options struct {
	Place    topic.Station
	Index    int // of the station in the worker's configuration
	Trigger  config.Trigger
	Recipe   Recipe        // the first
	Boot     string        // makes job ids unique over restarts
	NextJob  func() uint64 // unique in the process
	MaxCrops int           // evidence pictures of single defects
	Prefetch int           // continuous: requests outstanding, one more than the parallel runs
	// Outbox takes the result's bytes for the cloud, Evidence a picture of a result. Neither may wait.
	Outbox   func(rejected bool, topic string, payload []byte) error
	Evidence func(resultID string, n int, jpeg []byte) error
	Samples  sampler      // nil: none are kept
	Margin   float64      // of a score from its threshold, up to which it is uncertain
	Observe  func(Closed) // of each part, for metrics; may be nil
	Now      func() int64 // CLOCK_MONOTONIC nanoseconds
	Log      *slog.Logger
}

// sight is what the ledger keeps of a part besides its order: the worker's answer and what was made of it.
type sight struct {
	answer  *wire.Inspected
	begunNs int64 // when the answer was taken up
	outcome verdict.Outcome
}

type inspected = part.Part[sight]

// Station is an actor: its methods may be called from any goroutine, its fields belong to its own.
type Station struct {
	opts     Options
	counters Counters
	triggers chan plc.Trigger
	messages chan any
	intake   sync.RWMutex  // held for reading while a trigger enters its channel
	gone     chan struct{} // closed when no trigger is read any more
	stopped  chan struct{} // closed after the last result
	cancel   context.CancelFunc
	done     sync.WaitGroup
	warn     *sparse.Log
	levels   atomic.Pointer[[]drift.Level]
	busyNs   atomic.Int64 // when the turn under way began; 0: none

	ledger *part.Ledger[sight]
	line   line
	worker worker

	recipes   []*current         // what answers may come of: the last one is the next, if not what is live
	live      *current           // what the worker inspects with
	candidate *event.Candidate   // what is about to be live, or was refused; nil: nothing
	seen      *wire.StationState // last report of the worker; an empty one after its death
	mismatch  string             // the worker runs something that the rules were not made for
	over      bool               // the source has no more frames
	halted    string             // why there will be no more frames
	met       bool               // was ready once
	asked     map[uint64]bool    // continuous: requests without an answer
	askAtNs   int64              // continuous: not before
	drawAtNs  int64              // a disagreement of the shadow: not before
	frame     partial            // of a part that is a sample
	holdAtNs  int64              // not before
}

// New makes a station that already takes triggers and messages, to be looked at after Start.
func New(opts Options) *Station {
	live := &current{Recipe: opts.Recipe}
	return &Station{
		recipes: []*current{live}, live: live,
		opts: opts, triggers: make(chan plc.Trigger, inbox), messages: make(chan any, inbox),
		gone: make(chan struct{}), stopped: make(chan struct{}),
		warn:   sparse.New(opts.Log.With("station", opts.Place.Path()), opts.Now),
		ledger: part.New[sight](opts.Boot, opts.NextJob, part.DefaultLimit), asked: make(map[uint64]bool),
		seen: &wire.StationState{},
	}
}

// Start runs the station until Stop, and its Deliver until Close.
func (s *Station) Start(ctx context.Context, l line, w worker) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.line, s.worker = l, w
	s.done.Go(func() {
		s.run(ctx)
		close(s.stopped)
		s.linger()
	})
}

// Stop closes all open parts and waits until their results are handed over. Pictures of what it has closed
// are taken until Close. A station that was never started takes nothing any more.
func (s *Station) Stop() {
	if s.cancel == nil {
		close(s.gone)
		s.done.Go(s.linger)
		return
	}
	s.cancel()
	<-s.stopped
}

// Close ends a stopped station. Its worker has ended before: nothing may be delivered any more.
func (s *Station) Close() {
	close(s.messages)
	s.done.Wait()
}

// Counters returns the live counters.
func (s *Station) Counters() *Counters { return &s.counters }

// Trigger takes a trigger of the PLC. It waits only while the station is busy with earlier ones. One that
// comes after Stop is refused.
func (s *Station) Trigger(t plc.Trigger) {
	if s.take(t) || s.line == nil {
		return
	}
	s.counters.add(CountRefused, plc.RefusedNotReady)
	s.line.Answer(event.TriggerAckMessage{
		PartID: t.PartID, Reason: plc.RefusedNotReady, Detail: stopped,
	})
}

// take returns false when nobody will look at the trigger any more.
func (s *Station) take(t plc.Trigger) bool {
	s.intake.RLock()
	defer s.intake.RUnlock()
	select {
	case <-s.gone: // else there may be room in the channel, and nobody behind it
		return false
	default:
	}
	select {
	case s.triggers <- t:
		return true
	case <-s.gone:
		return false
	}
}

// Deliver takes a message of the worker: *wire.StationState, *wire.Exposed, *wire.Inspected, *wire.Evidence,
// *wire.Changed or vision.Died. It waits only while the station is busy with earlier ones.
func (s *Station) Deliver(message any) { s.messages <- message }
