package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

// errBundleChanged is of a bundle that is not what the supervisor judges by.
var errBundleChanged = errors.New("the bundle has changed since the agent read it")

// opener loads bundles, each once, opens cameras, and then changes what stations inspect with. One goroutine,
// but for each station's rig while that is changed.
type opener struct {
	worker   *worker
	loader   infer.Loader
	rigs     []*rig // of the stations; nil: none yet
	group    *errgroup.Group
	parallel int         // runs of one bundle
	sharing  int         // stations that frames may come from at once
	changing []*changing // of the stations; nil: no change is under way

	noRuntime string // why there is none to load models with
}

func newOpener(w *worker, group *errgroup.Group, rt Runtime) *opener {
	threads := int(w.config.GetInferenceThreads())
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0) // a container's share, not the machine
	}
	runs := parallel(w.config)
	return &opener{
		worker: w, group: group, parallel: runs, rigs: make([]*rig, len(w.stations)),
		sharing:  max(len(w.stations), int(w.config.GetSharing())),
		changing: make([]*changing, len(w.stations)),
		loader: infer.Loader{
			Runtime: rt, Log: w.log, Threads: max(threads/runs, 1), Spinning: w.config.GetSpinning(),
		},
	}
}

// parallel is how many runs of one bundle go side by side.
func parallel(c *wire.Configure) int { return max(int(c.GetParallelRuns()), 1) }

// open makes all stations ready or refused, and then changes what they inspect with until ctx ends. A worker
// that was given no camera only checks its bundles, and is done.
func (w *worker) open(ctx context.Context, group *errgroup.Group, rt Runtime, noRuntime string) error {
	o := newOpener(w, group, rt)
	o.noRuntime = noRuntime
	cameras := 0
	for _, s := range w.stations {
		if s.config.GetCamera() != "" {
			cameras++
		}
		err := o.station(ctx, s, s.config)
		if errors.Is(err, errDone) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if failed := s.reject(err); failed != nil {
				return failed
			}
		}
	}
	if cameras == 0 && len(w.stations) > 0 {
		return errDone
	}
	return o.changes(ctx)
}

// station makes a station ready that is not.
func (o *opener) station(ctx context.Context, s *station, c *wire.StationConfig) error {
	err := s.change(func(m *wire.StationState) {
		m.Phase, m.Reason = wire.Phase_PHASE_OPENING, wire.ReasonLoading
	})
	if err != nil {
		return err
	}
	r, err := o.rig(ctx, s, c, true)
	if err != nil {
		return err
	}
	if err = s.loaded(r); err != nil || s.config.GetCamera() == "" {
		return err
	}
	s.rig = r
	if s.camera, err = startCamera(ctx, s); err != nil {
		o.end(r)
		return err
	}
	o.rigs[s.index] = r
	s.ready.Store(true)
	close(s.opened)
	o.group.Go(func() error {
		defer s.close()
		return s.capture(ctx)
	})
	return nil
}

// rig loads what a station is to inspect with. Where it is alone, with nothing beside that inspects, a shadow
// that does not load is left out.
func (o *opener) rig(ctx context.Context, s *station, c *wire.StationConfig, lone bool) (*rig, error) {
	l, err := o.lane(ctx, s, c)
	if err != nil {
		return nil, err
	}
	r, err := newRig(s, c, l)
	if err == nil && c.GetShadow() != nil {
		r.shadow, err = o.shadow(ctx, s, c.GetShadow())
	}
	if err != nil && r != nil && lone && s.config.GetCamera() != "" { // the line's own model is there
		s.log.ErrorContext(ctx, "the station goes on without its shadow", "error", err)
		err = nil
	}
	if err != nil {
		if r != nil {
			r.close()
		}
		o.release(l)
		return nil, err
	}
	return r, nil
}

// end frees a rig that no part uses any more.
func (o *opener) end(r *rig) {
	r.close()
	r.shadow.close(o)
	o.release(r.lane)
}

// lane finds or makes the lane of a bundle, or makes one that compares. It is released once for each time.
func (o *opener) lane(ctx context.Context, s *station, c *wire.StationConfig) (*lane, error) {
	if c.GetMethod() == methodCompare {
		l := o.comparison(c)
		o.start(ctx, l)
		return l, nil
	}
	if o.loader.Runtime == nil {
		return nil, errors.New(o.noRuntime)
	}
	defer o.worker.loading.Store(nil)
	o.begin(s)
	b, err := bundle.Load(c.GetBundleDir())
	if err != nil {
		return nil, err
	}
	if wanted := c.GetBundleDigest(); wanted != "" && wanted != b.Digest {
		return nil, fmt.Errorf("%w: %s is %s, not %s: have the agent read its configuration again, by SIGHUP",
			errBundleChanged, c.GetBundleDir(), b.Digest, wanted)
	}
	alone := b.Manifest.Then != nil // see lane.together
	key := laneKey{b.Digest, c.GetProviderPolicy(), o.sharing > 1 && !alone || c.GetTileOverlap() > 0}
	if l := o.worker.lanes.find(key); l != nil {
		return l, nil
	}
	sessions, err := o.sessions(s, b, key)
	if err != nil {
		return nil, err
	}
	l := sessionLane(sessions, len(o.worker.stations))
	l.key = key
	o.start(ctx, l)
	return l, nil
}

func (o *opener) start(ctx context.Context, l *lane) {
	o.worker.lanes.add(l)
	for _, t := range l.tracks {
		l.running.Add(1)
		o.group.Go(func() error {
			defer l.running.Done()
			return t.serve(ctx, l)
		})
	}
}

// release frees a lane that nobody else has.
func (o *opener) release(l *lane) {
	if !o.worker.lanes.drop(l) {
		return
	}
	close(l.over)
	timer := time.AfterFunc(longestRun, func() {
		o.worker.die(fmt.Errorf("%w: the model of bundle %s does not unload", ErrHung, l.manifest.Name))
	})
	defer timer.Stop()
	l.running.Wait()
}

// begin notes when a load began, for the watchdog.
func (o *opener) begin(s *station) {
	o.worker.loading.Store(&load{station: s.config.GetName(), sinceNs: monotime.Now()})
}

// sessions loads a bundle once for each of its parallel runs.
func (o *opener) sessions(s *station, b *bundle.Bundle, key laneKey) (all []*infer.Session, err error) {
	loader := o.loader
	loader.Batches = key.batches
	for range o.parallel {
		o.begin(s)
		session, err := loader.Load(b, key.policy)
		if err != nil {
			for _, loaded := range all {
				err = errors.Join(err, loaded.Close())
			}
			return nil, err
		}
		all = append(all, session)
	}
	return all, nil
}

// close ends the camera and gives the frames that wait for a settlement back.
func (s *station) close() {
	if err := s.camera.Close(); err != nil {
		s.log.Warn("close camera", "error", err)
	}
	s.kept.clear()
	s.shadowed.clear()
	s.rig.close()
}
