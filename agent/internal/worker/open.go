package worker

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

// opener loads bundles, each once, and then opens cameras.
type opener struct {
	worker   *worker
	loader   infer.Loader
	lanes    map[laneKey]*lane
	group    *errgroup.Group
	parallel int // runs of one bundle

	noRuntime string // why there is none to load models with
}

func newOpener(w *worker, group *errgroup.Group, rt Runtime) *opener {
	threads := int(w.config.GetInferenceThreads())
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0) // a container's share, not the machine
	}
	runs := parallel(w.config)
	return &opener{
		worker: w, group: group, lanes: map[laneKey]*lane{}, parallel: runs,
		loader: infer.Loader{
			Runtime: rt, Log: w.log, Threads: max(threads/runs, 1), Spinning: w.config.GetSpinning(),
			Batches: len(w.stations) > 1 || slices.ContainsFunc(w.stations, (*station).tiled),
		},
	}
}

// parallel is how many runs of one bundle go side by side.
func parallel(c *wire.Configure) int { return max(int(c.GetParallelRuns()), 1) }

type laneKey struct{ digest, policy string }

// open makes all stations ready or refused. A worker that was given no camera only checks its bundles, and
// is done.
func (w *worker) open(ctx context.Context, group *errgroup.Group, rt Runtime, noRuntime string) error {
	o := newOpener(w, group, rt)
	o.noRuntime = noRuntime
	cameras := 0
	for _, s := range w.stations {
		if s.config.GetCamera() != "" {
			cameras++
		}
		err := o.station(ctx, s)
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
	return nil
}

func (o *opener) station(ctx context.Context, s *station) error {
	if err := s.change(func(*wire.StationState) {}); err != nil {
		return err
	}
	l, err := o.lane(ctx, s)
	if err != nil {
		return err
	}
	plan, err := s.plan(l)
	if err != nil {
		return err
	}
	if s.golden, err = loadGolden(s.config, plan); err != nil {
		return err
	}
	if err = s.loaded(l); err != nil || s.config.GetCamera() == "" {
		return err
	}
	count := slots(len(l.tracks))
	s.lane, s.free = l, make(chan *slot, count)
	for range count {
		s.free <- newSlot(s, plan)
	}
	s.camera, err = startCamera(ctx, s)
	if err != nil {
		return err
	}
	s.ready.Store(true)
	close(s.opened)
	o.group.Go(func() error {
		defer s.close()
		return s.capture(ctx)
	})
	return nil
}

// lane finds or makes the lane of the station's bundle, or makes one that compares.
func (o *opener) lane(ctx context.Context, s *station) (*lane, error) {
	if s.config.GetMethod() == methodCompare {
		l := o.comparison(s)
		o.start(ctx, l)
		return l, nil
	}
	if o.loader.Runtime == nil {
		return nil, errors.New(o.noRuntime)
	}
	defer o.worker.loading.Store(nil)
	o.begin(s)
	b, err := bundle.Load(s.config.GetBundleDir())
	if err != nil {
		return nil, err
	}
	key := laneKey{b.Digest, s.config.GetProviderPolicy()}
	if l, ok := o.lanes[key]; ok {
		return l, nil
	}
	sessions, err := o.sessions(s, b, key.policy)
	if err != nil {
		return nil, err
	}
	l := sessionLane(sessions, len(o.worker.stations))
	o.lanes[key] = l
	o.start(ctx, l)
	return l, nil
}

func (o *opener) start(ctx context.Context, l *lane) {
	for _, t := range l.tracks {
		o.group.Go(func() error { return t.serve(ctx, l.jobs) })
	}
}

// begin notes when a load began, for the watchdog.
func (o *opener) begin(s *station) {
	o.worker.loading.Store(&load{station: s.config.GetName(), sinceNs: monotime.Now()})
}

// sessions loads a bundle once for each of its parallel runs.
func (o *opener) sessions(s *station, b *bundle.Bundle, policy string) (all []*infer.Session, err error) {
	for range o.parallel {
		o.begin(s)
		session, err := o.loader.Load(b, policy)
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

// close ends the camera and gives the frames that wait for a settlement back. The canvases in the lane's
// hands are left to the end of the process.
func (s *station) close() {
	if err := s.camera.Close(); err != nil {
		s.log.Warn("close camera", "error", err)
	}
	s.kept.clear()
	for {
		select {
		case slot := <-s.free:
			slot.close()
		default:
			return
		}
	}
}
