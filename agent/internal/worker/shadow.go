package worker

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	shadowKept = 2 // frames whose settlement is awaited
	// shadowFrames are all that a shadow may hold: one in hand, one that waits, and those.
	shadowFrames = 2 + shadowKept
	// longestShadow is when a shadow's run is broken off: before its end would be taken for a hang.
	longestShadow = longestRun / 2
)

var errShadow = errors.New("shadow")

// shadow runs a candidate on parts that are done: their verdicts are out, and nothing waits for it. It has
// one thread of the lowest priority, and takes a new part only when its share of the time allows.
type shadow struct {
	station *station
	rig     *rig
	engine  engine
	share   float64
	parts   chan shadowed
	seen    chan shadowed // parts whose answer waits to be sent
	sent    chan error
	stop    chan struct{}
	ended   sync.WaitGroup
	nextNs  atomic.Int64 // not before

	mu   sync.Mutex // held while a part is offered
	over bool
}

// shadowed is a part that is done.
type shadowed struct {
	shot

	job    uint64
	answer *wire.Inspected // once it has been seen
}

// shadow loads what is to see a station's parts besides what inspects them.
func (o *opener) shadow(ctx context.Context, s *station, c *wire.StationConfig) (*shadow, error) {
	defer o.worker.loading.Store(nil)
	o.begin(s)
	b, err := bundle.Load(c.GetBundleDir())
	if err != nil {
		return nil, errors.Join(errShadow, err)
	}
	if wanted := c.GetBundleDigest(); wanted != "" && wanted != b.Digest {
		return nil, errors.Join(errShadow, errBundleChanged)
	}
	loader := o.loader
	loader.Threads, loader.Batches = 1, false
	session, err := loader.Load(b, c.GetProviderPolicy())
	if err != nil {
		return nil, errors.Join(errShadow, err)
	}
	r, err := newRig(s, c, sessionLane([]*infer.Session{session}, 1))
	if err != nil {
		return nil, errors.Join(errShadow, err, session.Close())
	}
	h := &shadow{
		station: s, rig: r, engine: session, share: c.GetShare(),
		parts: make(chan shadowed, 1), stop: make(chan struct{}),
		seen: make(chan shadowed), sent: make(chan error),
	}
	if s.config.GetCamera() == "" { // it was only to be loaded
		return nil, session.Close()
	}
	h.ended.Add(1)
	o.group.Go(func() error {
		defer h.ended.Done()
		defer close(h.seen)
		return h.run(ctx)
	})
	o.group.Go(h.tell)
	return h, nil
}

// offer takes a part over, unless the shadow is busy or has had its share. Nil takes none.
func (h *shadow) offer(seen shot, job uint64) bool {
	if h == nil {
		return false
	}
	if monotime.Now() < h.nextNs.Load() || !h.mu.TryLock() { // whoever offers waits for nobody
		return false
	}
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	h.nextNs.Store(math.MaxInt64)             // until it has seen this one, and rested
	h.parts <- shadowed{shot: seen, job: job} // never blocks: no other part is with it
	return true
}

func (h *shadow) run(ctx context.Context) error {
	runtime.LockOSThread() // never unlocked, so that the thread ends with its priority
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, lowPriority); err != nil {
		h.station.log.WarnContext(ctx, "a shadow runs at normal priority", "error", err)
	}
	defer h.finish()
	for {
		select {
		case <-h.stop: // before a part that waits
			return nil
		default:
		}
		select {
		case p := <-h.parts:
			if err := h.inspect(p); err != nil {
				return err
			}
		case <-h.stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// tell sends the shadow's answers, and keeps their frames until they are settled. It has the usual priority:
// what the line says waits for the same socket.
func (h *shadow) tell() error {
	for p := range h.seen {
		s := h.station
		evicted, _, _ := s.shadowed.put(p.job, p.shot)
		if evicted != nil {
			evicted.Release()
		}
		h.sent <- closed(s.conn.Send(wire.KindShadowed, p.answer))
	}
	return nil
}

// inspect tells what the candidate finds, and keeps the frame until the supervisor has compared.
func (h *shadow) inspect(p shadowed) error {
	began := monotime.Now()
	job := <-h.rig.free
	defer func() { h.rig.free <- job }()
	job.order, job.frame = order{job: p.job}, p.frame
	err := h.rig.golden.brought(p.frame)
	if err == nil {
		err = job.fit(p.frame)
	}
	var found infer.Result
	if err == nil {
		found = h.engine.Infer([]*tensor.Canvas{job.canvas}, began+int64(longestShadow))[0]
		err = found.Err
	}
	job.fill(inspection{Result: found}, err)
	job.frame = nil
	h.rest(monotime.Now() - began)
	h.seen <- shadowed{shot{frame: p.frame, rig: h.rig, heat: job.heat}, p.job, job.answer}
	return <-h.sent
}

// rest holds the next part off as long as keeps the share.
func (h *shadow) rest(tookNs int64) {
	h.nextNs.Store(monotime.Now() + int64(float64(tookNs)*(1-h.share)/h.share))
}

// finish gives back what it holds.
func (h *shadow) finish() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	select {
	case p := <-h.parts:
		p.frame.Release()
	default:
	}
	h.rig.close()
	if err := h.engine.Close(); err != nil {
		h.station.log.Warn("close a shadow's model", "error", err)
	}
}

// close ends it. Nil is ended already.
func (h *shadow) close(o *opener) {
	if h == nil {
		return
	}
	close(h.stop)
	timer := time.AfterFunc(longestRun, func() { o.worker.die(ErrHung) })
	defer timer.Stop()
	h.ended.Wait()
}

// settledShadow frees the frame that the shadow has seen, or sends it on to be drawn.
func (s *station) settledShadow(job uint64, wanted *wire.Settle) {
	seen, known := s.shadowed.drop(job)
	switch {
	case !known:
	case wanted != nil && s.pictures.busy(): // with what the line has rejected
		s.done(seen, job)
	default:
		s.finish(seen, job, wanted)
	}
}

// done gives back a frame that the line needs no more, by way of the shadow if that wants to see it.
func (s *station) done(seen shot, job uint64) {
	if seen.rig == nil || !seen.rig.shadow.offer(seen, job) {
		seen.frame.Release()
	}
}
