package infer

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	// gain is the share of an image's time that a batch must save to be taken: it makes the first image of
	// it wait for the last.
	gain = 0.05
	// trials of each size are timed, the quickest of them counts.
	trials = 5
)

// openBatch makes a session for a batch and times it. Where batches are not worth their while there is none,
// and no error: on a GPU they mostly are, on a CPU seldom.
func (l *Loader) openBatch(c *candidate, p bundle.Provider) (*Session, error) {
	s, err := l.openFor(c, p, p.Batch)
	if err != nil {
		return nil, err
	}
	alone, together, err := s.timed()
	if err != nil {
		return nil, s.fail(err)
	}
	taken := together <= alone*(1-gain)
	l.Log.Info("timed a batch", "bundle", c.Manifest.Name, "provider", p.Name, "images", p.Batch,
		"ms_an_image", together/1e6, "ms_alone", alone/1e6, "taken", taken)
	if !taken { // what was built is kept, or each start would take minutes to find out the same
		return nil, errors.Join(l.keep(s), s.Close())
	}
	if err := s.proveBatch(); err != nil {
		return nil, s.fail(err)
	}
	return s, nil
}

// timed is how long an image takes alone, and in a full batch, in nanoseconds.
func (s *Session) timed() (alone, together float64, err error) {
	if alone, err = s.quickest(1); err != nil {
		return 0, 0, err
	}
	together, err = s.quickest(len(s.inputs))
	return alone, together, err
}

// proveBatch runs each size once, as the last batch of a sheet may have any, and the golden samples in all
// places of a full one.
func (s *Session) proveBatch() error {
	for images := 2; images < len(s.inputs); images++ {
		if err := s.runner.Run(images); err != nil {
			return fmt.Errorf("run of %d images: %w", images, err)
		}
	}
	s.images = len(s.inputs)
	return s.prove()
}

// quickest is the least time of a run of so many images, over their number, in nanoseconds. The first run is
// not counted: an engine for the size may be built then.
func (s *Session) quickest(images int) (float64, error) {
	var least int64
	for trial := range 1 + trials {
		start := monotime.Now()
		if err := s.runner.Run(images); err != nil {
			return 0, fmt.Errorf("run of %d images: %w", images, err)
		}
		if ns := monotime.Now() - start; trial <= 1 || ns < least {
			least = ns
		}
	}
	return float64(least) / float64(images), nil
}
