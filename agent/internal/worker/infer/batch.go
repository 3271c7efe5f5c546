package infer

import (
	"fmt"
	"log/slog"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

const (
	// gain is the share of an image's time that a batch must save to be taken: it makes the first image of
	// it wait for the last.
	gain = 0.05
	// trials of each size are timed, the quickest of them counts.
	trials = 5
)

// warm proves the session by the golden samples, and finds out whether batches are worth their while on this
// provider: on a GPU they mostly are, on a CPU seldom.
func (s *Session) warm(log *slog.Logger) error {
	if err := s.prove(); err != nil {
		return err
	}
	most := len(s.inputs)
	if most == 1 {
		return nil
	}
	alone, err := s.quickest(1)
	if err != nil {
		return err
	}
	together, err := s.quickest(most)
	if err != nil {
		return err
	}
	log.Info("timed a batch", "bundle", s.Bundle.Manifest.Name, "provider", s.Provider, "images", most,
		"ms_an_image", together/1e6, "ms_alone", alone/1e6)
	if together > alone*(1-gain) {
		return nil
	}
	s.images = most
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
		if ns := monotime.Now() - start; trial == 1 || ns < least {
			least = ns
		}
	}
	return float64(least) / float64(images), nil
}
