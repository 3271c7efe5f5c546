package worker

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// engine inspects what canvases hold: a model, or a comparison without one. One goroutine at a time. Results
// are valid until the next call.
type engine interface {
	Images() int // canvases at once, at most
	Infer(canvases []*tensor.Canvas, deadlineNs int64) []infer.Result
	Close() error
}

// lane runs one bundle for all stations that have it, on one track or on several side by side.
type lane struct {
	key     laneKey
	over    chan struct{} // closed when nobody has it any more
	running sync.WaitGroup

	manifest *bundle.Manifest
	plan     *tensor.Plan
	state    wire.StationState // what it says of itself: provider and model
	jobs     *queue
	help     chan *sheetRun // tiles for tracks that have nothing else to do
	tracks   []*track
}

// track is an engine and the one goroutine that runs it.
type track struct {
	engine  engine
	help    chan *sheetRun // the lane's
	jobNs   atomic.Int64   // when the job under way began; 0: none
	busyNs  atomic.Int64   // when the model's run under way began, of a sheet that of a batch; 0: none
	usualNs atomic.Int64   // what a run takes of late, of a frame in tiles all of them

	jobs     []*slot // of the run under way
	canvases []*tensor.Canvas
}

func newLane(m *bundle.Manifest, plan *tensor.Plan, engines []engine, stations int) *lane {
	l := &lane{
		manifest: m, plan: plan, over: make(chan struct{}), help: make(chan *sheetRun),
		jobs: newQueue(2 * slots(len(engines)) * stations), // of a station's last rig, and of its next
	}
	for _, e := range engines {
		l.tracks = append(l.tracks, &track{
			engine: e, help: l.help,
			jobs: make([]*slot, 0, e.Images()), canvases: make([]*tensor.Canvas, 0, e.Images()),
		})
	}
	return l
}

// sessionLane is the lane of a bundle.
func sessionLane(sessions []*infer.Session, stations int) *lane {
	first := sessions[0]
	b := first.Bundle
	engines := make([]engine, 0, len(sessions))
	for _, s := range sessions {
		engines = append(engines, s)
	}
	l := newLane(&b.Manifest, first.Plan, engines, stations)
	for i, s := range sessions { // what a second model takes is many runs
		t := l.tracks[i]
		s.Watch(func() { t.busyNs.Store(monotime.Now()) })
	}
	l.state.Provider, l.state.FellBack = first.Provider, first.FellBack
	l.state.FallbackReason = first.FallbackReason
	l.state.Model = &wire.Model{
		Name: b.Manifest.Name, Version: b.Manifest.Version, Digest: b.Digest, Classes: b.ClassNames(),
	}
	return l
}

// slots is how many frames a station may have between its camera and its answers: one is preprocessed while
// others are inferred.
func slots(tracks int) int { return tracks + 1 }

// images is how many images its tracks take in one run each, all together, and one of them at most.
func (l *lane) images() (all, most int) {
	for _, t := range l.tracks {
		n := t.engine.Images()
		all, most = all+n, max(most, n)
	}
	return all, most
}

// together is how many frames one run of a track takes. With a second model it is one: how long that takes
// depends on what was found, and no frame waits for what was found in another camera's.
func (l *lane) together(t *track) int {
	if l.manifest.Then != nil {
		return 1
	}
	return t.engine.Images()
}

// hangs says whether a run does not come back.
func (l *lane) hangs(nowNs int64) bool {
	for _, t := range l.tracks {
		if since := t.busyNs.Load(); since != 0 && nowNs-since > int64(longestRun) {
			return true
		}
	}
	return false
}

// freeAt is when a track is expected to be free for one more run, behind those that wait, and how long a run
// takes of late.
func (l *lane) freeAt(nowNs int64) (freeNs, usualNs int64) {
	var room [16]int64 // on the stack, for as many tracks as worker.parallel may ask for
	ends := room[:0]
	for _, t := range l.tracks {
		end := nowNs
		usualNs = t.usualNs.Load()
		if since := t.jobNs.Load(); since != 0 {
			end = max(since+usualNs, nowNs)
		}
		ends = append(ends, end)
	}
	most := l.together(l.tracks[0])
	for range (l.jobs.len() + most - 1) / most { // each run is of the track that is free first
		next := slices.Index(ends, slices.Min(ends))
		ends[next] += usualNs
	}
	return slices.Min(ends), usualNs
}

// serve infers what waits until ctx or the lane ends, then frees the model: in one run as much as the engine
// takes at once. A job once taken is always answered: the next one's answer waits for it.
func (t *track) serve(ctx context.Context, l *lane) error {
	defer func() { _ = t.engine.Close() }()
	for {
		select {
		case <-l.jobs.ready:
			t.gather(l)
			if err := t.infer(); err != nil {
				return err
			}
		case r := <-t.help:
			t.jobNs.Store(monotime.Now())
			r.work(&tiledJob{track: t, job: r.job}, nil)
			t.jobNs.Store(0)
			r.helpers.Done()
		case <-l.over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// gather takes the frame that is due first, and those that go with it.
func (t *track) gather(l *lane) {
	t.jobs = append(t.jobs[:0], l.jobs.take())
	if t.jobs[0].sheet == nil {
		t.jobs = l.jobs.fill(t.jobs, l.together(t))
	}
}

// recruit asks one track that has nothing to do for help with a sheet.
func (t *track) recruit(r *sheetRun) {
	r.helpers.Add(1)
	select {
	case t.help <- r:
	default:
		r.helpers.Done()
	}
}

// infer answers the jobs that were taken.
func (t *track) infer() error {
	began := monotime.Now()
	t.jobNs.Store(began)
	if job := t.jobs[0]; job.sheet != nil {
		job.fill(t.tiled(job))
	} else {
		t.inspect()
	}
	t.usualNs.Store(smooth(t.usualNs.Load(), monotime.Now()-began))
	t.jobNs.Store(0)
	for _, job := range t.jobs {
		s := job.station
		s.inspected.Add(1)
		// Before the answer: its settlement may follow at once.
		s.keep(job.job, shot{job.frame, job.rig, job.trail(), job.heat})
		job.frame = nil
		if err := s.turns.done(job); err != nil {
			return err
		}
	}
	return nil
}

// tiled runs the engine tile by tile.
func (t *track) tiled(job *slot) (inspection, error) {
	return job.sheet.inspect(job, &tiledJob{track: t, job: job}, t.recruit)
}

// inspect runs the engine once on all frames that were taken and that somebody still waits for.
func (t *track) inspect() {
	t.canvases = t.canvases[:0]
	now, due := monotime.Now(), int64(0)
	for _, job := range t.jobs {
		if job.due() > now {
			t.canvases, due = append(t.canvases, job.canvas), max(due, job.due())
		}
	}
	if due == math.MaxInt64 { // a run is not broken off while somebody waits for it
		due = 0
	}
	var results []infer.Result
	if len(t.canvases) > 0 {
		results = t.run(t.canvases, due)
	}
	for _, job := range t.jobs {
		if job.due() <= now {
			job.fill(inspection{}, infer.ErrCancelled)
			continue
		}
		job.fill(inspection{Result: results[0]}, results[0].Err)
		results = results[1:]
	}
}

// run is one run of the engine, under the eyes of the watchdog.
func (t *track) run(canvases []*tensor.Canvas, deadlineNs int64) []infer.Result {
	t.busyNs.Store(monotime.Now())
	defer t.busyNs.Store(0)
	return t.engine.Infer(canvases, deadlineNs)
}

// smooth follows a duration that varies: an eighth of each change.
func smooth(usual, last int64) int64 {
	if usual == 0 {
		return last
	}
	return usual + (last-usual)/8
}

func set(d *wire.Detection, class int, score float32, box [4]float32) {
	d.Class, d.Score = int32(class), score
	d.X1, d.Y1, d.X2, d.Y2 = box[0], box[1], box[2], box[3]
}

// grown makes the list at least n long.
func grown(list []*wire.Detection, n int) []*wire.Detection {
	for len(list) < n {
		list = append(list, &wire.Detection{})
	}
	return list
}

func modelFault(err error) (wire.Fault, string) {
	switch {
	case err == nil:
		return wire.Fault_FAULT_NONE, ""
	case errors.Is(err, infer.ErrCancelled):
		return wire.Fault_FAULT_CANCELLED, said(err.Error())
	case errors.Is(err, pairing.ErrUnaligned):
		return wire.Fault_FAULT_UNALIGNED, said(err.Error())
	case errors.Is(err, decode.ErrOutput):
		return wire.Fault_FAULT_BAD_OUTPUT, said(err.Error())
	default:
		return wire.Fault_FAULT_MODEL, said(err.Error())
	}
}
