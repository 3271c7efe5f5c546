package vision

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// ErrParted says that a station gets a worker of its own.
var ErrParted = errors.New("too many captures of its camera hang in their driver, and only another process " +
	"can open it")

// Crew is the workers of all stations. These share one, and one copy of each model, until the captures of a
// camera hang in their driver, which no process survives: its station then gets a worker of its own, and the
// others go on. Safe for concurrent use.
type Crew struct {
	opts  Options
	start func(Options) *Worker
	stop  context.CancelFunc // of the look at workers' memory

	looking sync.WaitGroup

	seats []atomic.Pointer[seat] // by station

	mu      sync.Mutex
	shared  *Worker
	sharing int       // stations that have not left it
	own     []*Worker // of stations that have
	closed  bool
}

// seat is where a station's messages go and come from.
type seat struct {
	worker  atomic.Pointer[Worker]             // nil while there is none
	index   int                                // of the station in the worker's configuration
	own     bool                               // nobody else has this worker
	pending atomic.Pointer[wire.StationConfig] // of a change that is under way
	open    atomic.Int64                       // parts asked for and not answered
	lastNs  atomic.Int64                       // when the last of either was
}

// StartCrew runs workers until Close. Options are those of the shared one.
func StartCrew(ctx context.Context, opts Options) *Crew {
	opts.Idle = cmp.Or(opts.Idle, idle)
	n := len(opts.Configure.GetStations())
	c := &Crew{
		opts: opts, seats: make([]atomic.Pointer[seat], n), sharing: n,
		start: func(o Options) *Worker { return Start(ctx, o) },
	}
	seats := make([]*seat, n)
	for i := range seats {
		seats[i] = &seat{index: i}
		c.seats[i].Store(seats[i])
	}
	opts.Deliver = func(station int, m any) { c.deliver(station, seats[station], m) }
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shared = c.start(opts)
	for _, s := range seats {
		s.worker.Store(c.shared)
	}
	ctx, c.stop = context.WithCancel(ctx)
	c.looking.Go(func() { c.recycle(ctx) })
	return c
}

// Close ends all workers and waits until they are gone.
func (c *Crew) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.looking.Wait()
	workers := c.workers()
	for _, w := range workers { // all at once: each may take its time
		w.cancel()
	}
	for _, w := range workers {
		w.Close()
	}
}

// Inspect asks for a part. It never blocks; an error means that no answer will come. The message is the
// crew's from now on.
func (c *Crew) Inspect(m *wire.Inspect) error {
	s := c.seats[m.GetStation()].Load()
	w, index := s.worker.Load(), s.index
	if w == nil {
		return ErrDown
	}
	m.Station = uint32(index)
	s.lastNs.Store(monotime.Now())
	s.open.Add(1)
	if err := w.Inspect(m); err != nil {
		s.open.Add(-1)
		return err
	}
	return nil
}

// Settle tells the worker that a part is closed, in the same way.
func (c *Crew) Settle(m *wire.Settle) error {
	w, index := c.worker(int(m.GetStation()))
	if w == nil {
		return ErrDown
	}
	m.Station = uint32(index)
	return w.Settle(m)
}

// Change has a station inspect with something else from some part on, and from then on each worker that takes
// the station over. It never blocks. What became of it is delivered as *wire.Changed, or as Died. One that is
// under way is superseded. The configuration is the crew's from now on.
func (c *Crew) Change(station int, to *wire.StationConfig) error {
	s := c.seats[station].Load()
	w := s.worker.Load()
	if w == nil {
		return ErrDown
	}
	s.pending.Store(to)
	w.before.CompareAndSwap(0, w.resident())
	return w.Change(&wire.Change{Station: uint32(s.index), Config: to})
}

// Starts counts the processes started.
func (c *Crew) Starts() uint64 { return c.sum((*Worker).Starts) }

// Deaths counts the processes that ended unasked.
func (c *Crew) Deaths() uint64 { return c.sum((*Worker).Deaths) }

// Counts returns what the station's worker has counted there since it started, or nil when it has not said
// yet. Not to be changed.
func (c *Crew) Counts(station int) *wire.StationCount {
	w, index := c.worker(station)
	if w == nil {
		return nil
	}
	return w.Counts(index)
}

// changed notes what became of a change; one that was superseded is not the one that is under way.
func (s *seat) changed(m *wire.Changed) {
	asked := s.pending.Load()
	if asked.GetGeneration() != m.GetGeneration() || !s.pending.CompareAndSwap(asked, nil) {
		return
	}
	if m.GetRefused() == "" {
		s.worker.Load().become(s.index, asked)
	}
}

func (c *Crew) sum(of func(*Worker) uint64) uint64 {
	n := uint64(0)
	for _, w := range c.workers() {
		n += of(w)
	}
	return n
}

func (c *Crew) workers() []*Worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Worker{c.shared}, c.own...)
}

// worker is that of a station, nil while it has none, and the station's index there.
func (c *Crew) worker(station int) (w *Worker, index int) {
	s := c.seats[station].Load()
	return s.worker.Load(), s.index
}

// deliver passes a worker's message on, unless its station has left the worker.
func (c *Crew) deliver(station int, from *seat, m any) {
	if c.seats[station].Load() != from {
		return
	}
	switch m := m.(type) {
	case *wire.Changed:
		from.changed(m)
	case *wire.Inspected:
		from.lastNs.Store(monotime.Now())
		from.open.Add(-1)
	case Died:
		from.open.Store(0)
		from.pending.Store(nil)
	}
	c.opts.Deliver(station, m)
	state, ok := m.(*wire.StationState)
	// A worker of one station dies of it, and is replaced.
	if ok && state.GetPhase() == wire.Phase_PHASE_EXHAUSTED && !from.own && len(c.seats) > 1 {
		c.part(station)
	}
}

// part gives a station of the shared worker one of its own. What it still had open is lost.
func (c *Crew) part(station int) {
	own := &seat{own: true}
	c.seats[station].Store(own) // the old worker is heard no more, and the new one is not there yet
	c.opts.Log.Error("station gets a vision worker of its own", "station",
		c.opts.Configure.GetStations()[station].GetName(), "because", ErrParted)
	c.opts.Deliver(station, Died{Err: ErrParted})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	opts := c.opts
	opts.Configure = proto.CloneOf(c.shared.configure.Load())
	c.shared.leave(station)
	c.sharing--
	if c.sharing == 0 {
		c.shared.cancel()
	}
	opts.Configure.Stations = opts.Configure.Stations[station : station+1]
	opts.Deliver = func(_ int, m any) { c.deliver(station, own, m) }
	w := c.start(opts)
	own.worker.Store(w)
	c.own = append(c.own, w)
}
