package worker

import (
	"errors"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// view is what a picture shows of a template.
type view struct {
	golden *evidence.Golden // nil: nothing beside the frame, or a misfit that cannot be drawn
	misfit bool
	frame  *frame.Frame // the part that is drawn of a misfit
	where  string       // that part, for the caption; empty: it is the whole
}

// beside aligns the template of a part once more, to draw where they differ: what aligned it for the
// inspection is at the next part. It keeps the memory of one rig. One goroutine at a time.
type beside struct {
	rig     *rig
	canvas  *tensor.Canvas
	matcher *pairing.Matcher // of the rig's template
	golden  evidence.Golden
	sheet   besideSheet // instead, where frames are seen in tiles
}

// look returns the template beside the picture's frame. There may be none, and none that can be drawn.
func (b *beside) look(pic *picture, pen *evidence.Pen) (view, error) {
	r := pic.rig
	switch {
	case r.golden == nil || r.config.GetTemplate().GetPath() == "" && pic.frame.Template == nil:
		return view{}, nil
	case r.golden.tiled:
		b.turn(r)
		return b.sheet.look(pic, pen)
	}
	b.turn(r)
	matcher := b.matcher
	if template := pic.frame.Template; template != nil {
		prepared, err := pairing.New(r.golden.plan, template)
		if err != nil {
			return view{}, err
		}
		matcher = prepared.Matcher()
	}
	if err := b.canvas.Fit(pic.frame); err != nil {
		return view{}, err
	}
	fit, err := matcher.Match(b.canvas)
	misfit := errors.Is(err, pairing.ErrUnaligned)
	switch {
	case misfit && fit.Residual == 0: // of another size: they were not compared
		return view{misfit: true}, nil
	case err != nil && !misfit:
		return view{}, err
	}
	return view{&b.golden, misfit, pic.frame, ""}, taken(&b.golden, b.canvas)
}

// taken looks where what a canvas holds differs from the template beside it.
func taken(g *evidence.Golden, c *tensor.Canvas) error {
	size := c.Geometry()
	return g.Take(c.Plane(), c.Template(), size.Width, size.Height)
}

// turn makes a canvas and a matcher for another rig.
func (b *beside) turn(r *rig) {
	if b.rig == r {
		return
	}
	b.close()
	b.rig = r
	if r.golden.tiled {
		b.sheet.open(r.golden.plan)
		return
	}
	b.canvas, b.matcher = tensor.NewCanvas(r.golden.plan), nil
	if r.golden.prepared != nil {
		b.matcher = r.golden.prepared.Matcher()
	}
}

func (b *beside) close() {
	if b.canvas != nil {
		b.canvas.Close()
	}
	b.sheet.close()
	b.rig, b.canvas = nil, nil
}
