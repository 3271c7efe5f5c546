package worker

import (
	"context"
	"errors"
	"slices"
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
	Infer(canvases []*tensor.Canvas, deadlineNs int64) ([]infer.Result, error)
	Close() error
}

// lane runs one bundle for all stations that have it, on one track or on several side by side.
type lane struct {
	manifest *bundle.Manifest
	plan     *tensor.Plan
	state    wire.StationState // what it says of itself: provider and model
	jobs     chan *slot
	help     chan *sheetRun // tiles for tracks that have nothing else to do
	tracks   []*track
}

// track is an engine and the one goroutine that runs it.
type track struct {
	engine  engine
	help    chan *sheetRun // the lane's
	jobNs   atomic.Int64   // when the job under way began; 0: none
	busyNs  atomic.Int64   // when the engine's run under way began, of a sheet that of a batch; 0: none
	usualNs atomic.Int64   // what a job takes of late
	one     [1]*tensor.Canvas
}

func newLane(m *bundle.Manifest, plan *tensor.Plan, engines []engine, stations int) *lane {
	l := &lane{
		manifest: m, plan: plan, jobs: make(chan *slot, slots(len(engines))*stations),
		help: make(chan *sheetRun),
	}
	for _, e := range engines {
		l.tracks = append(l.tracks, &track{engine: e, help: l.help})
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

// hangs says whether a run does not come back.
func (l *lane) hangs(nowNs int64) bool {
	for _, t := range l.tracks {
		if since := t.busyNs.Load(); since != 0 && nowNs-since > int64(longestRun) {
			return true
		}
	}
	return false
}

// freeAt is when a track is expected to be free for one more job, behind those that wait, and how long a job
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
	for range len(l.jobs) { // each goes to the track that is free first
		next := slices.Index(ends, slices.Min(ends))
		ends[next] += usualNs
	}
	return slices.Min(ends), usualNs
}

// serve infers job after job until ctx ends, then frees the model. A job once taken is always answered: the
// next one's answer waits for it.
func (t *track) serve(ctx context.Context, jobs <-chan *slot) error {
	defer func() { _ = t.engine.Close() }()
	for {
		select {
		case job := <-jobs:
			if err := t.infer(job); err != nil {
				return err
			}
		case r := <-t.help:
			t.jobNs.Store(monotime.Now())
			r.work(&tiledJob{track: t, job: r.job}, nil)
			t.jobNs.Store(0)
			r.helpers.Done()
		case <-ctx.Done():
			return nil
		}
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

func (t *track) infer(job *slot) error {
	began := monotime.Now()
	t.jobNs.Store(began)
	found, err := t.inspect(job)
	t.usualNs.Store(smooth(t.usualNs.Load(), monotime.Now()-began))
	t.jobNs.Store(0)
	s, f := job.station, job.frame
	job.fill(found, err)
	s.inspected.Add(1)
	s.keep(job.job, shot{f, job.trail()}) // before the answer: its settlement may follow at once
	job.frame = nil
	return s.turns.done(job)
}

// inspect runs the engine on what the slot holds: once, or tile by tile.
func (t *track) inspect(job *slot) (inspection, error) {
	if job.sheet != nil {
		return job.sheet.inspect(job, &tiledJob{track: t, job: job}, t.recruit)
	}
	t.one[0] = job.canvas
	results, err := t.run(t.one[:], job.deadlineNs)
	return inspection{Result: results[0]}, err
}

// run is one run of the engine, under the eyes of the watchdog.
func (t *track) run(canvases []*tensor.Canvas, deadlineNs int64) ([]infer.Result, error) {
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
