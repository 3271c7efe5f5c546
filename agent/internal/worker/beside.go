package worker

import (
	"errors"

	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// beside aligns the template of a part once more, to draw where they differ: what aligned it for the
// inspection is at the next part. It keeps the memory of one station. One goroutine at a time.
type beside struct {
	station *station
	canvas  *tensor.Canvas
	matcher *pairing.Matcher // of the station's template
	golden  evidence.Golden
}

// look returns the template beside the picture's frame, and whether it fits. It is nil where there is none,
// or none that can be drawn, as that of a sheet.
func (b *beside) look(pic *picture) (g *evidence.Golden, fits bool, err error) {
	plans := pic.station.golden
	if plans == nil || plans.tiled || plans.prepared == nil && pic.frame.Template == nil {
		return nil, true, nil
	}
	b.turn(pic.station)
	matcher := b.matcher
	if template := pic.frame.Template; template != nil {
		prepared, bad := pairing.New(plans.plan, template)
		if bad != nil {
			return nil, true, bad
		}
		matcher = prepared.Matcher()
	}
	if err = b.canvas.Fit(pic.frame); err != nil {
		return nil, true, err
	}
	fit, err := matcher.Match(b.canvas)
	unfit := errors.Is(err, pairing.ErrUnaligned)
	switch {
	case unfit && fit.Residual == 0: // of another size: they were not compared
		return nil, false, nil
	case err != nil && !unfit:
		return nil, true, err
	}
	size := b.canvas.Geometry()
	err = b.golden.Take(b.canvas.Plane(), b.canvas.Template(), size.Width, size.Height)
	return &b.golden, !unfit, err
}

// turn makes a canvas and a matcher for another station.
func (b *beside) turn(s *station) {
	if b.station == s {
		return
	}
	b.close()
	b.station, b.canvas, b.matcher = s, tensor.NewCanvas(s.golden.plan), nil
	if s.golden.prepared != nil {
		b.matcher = s.golden.prepared.Matcher()
	}
}

func (b *beside) close() {
	if b.canvas != nil {
		b.canvas.Close()
	}
	b.station, b.canvas = nil, nil
}
