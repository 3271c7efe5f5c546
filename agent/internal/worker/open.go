package worker

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// opener loads bundles, each once, and then opens cameras.
type opener struct {
	worker *worker
	loader infer.Loader
	lanes  map[laneKey]*lane
	group  *errgroup.Group
}

type laneKey struct{ digest, policy string }

// open makes all stations ready or refused. A worker that was given no camera only checks its bundles, and
// is done.
func (w *worker) open(ctx context.Context, group *errgroup.Group, rt Runtime, noRuntime string) error {
	o := opener{
		worker: w, group: group, lanes: map[laneKey]*lane{},
		loader: infer.Loader{
			Runtime: rt, Log: w.log,
			Threads: int(w.config.GetInferenceThreads()), Spinning: w.config.GetAllowSpinning(),
		},
	}
	cameras := 0
	for _, s := range w.stations {
		if s.config.GetCamera() != "" {
			cameras++
		}
		err := errors.New(noRuntime)
		if rt != nil {
			err = o.station(ctx, s)
		}
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
	if err = s.loaded(l.session); err != nil || s.config.GetCamera() == "" {
		return err
	}
	for range slots {
		s.free <- &slot{station: s, canvas: tensor.NewCanvas(l.session.Plan)}
	}
	s.lane = l
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

// lane finds or makes the lane of the station's bundle.
func (o *opener) lane(ctx context.Context, s *station) (*lane, error) {
	b, err := bundle.Load(s.config.GetBundleDir())
	if err != nil {
		return nil, err
	}
	key := laneKey{b.Digest, s.config.GetProviderPolicy()}
	if l, ok := o.lanes[key]; ok {
		return l, nil
	}
	session, err := o.loader.Load(b, key.policy)
	if err != nil {
		return nil, err
	}
	l := newLane(session, len(o.worker.stations))
	o.lanes[key] = l
	o.group.Go(func() error { return l.run(ctx) })
	return l, nil
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
			slot.canvas.Close()
		default:
			return
		}
	}
}
