package worker

import (
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// closer is an engine that may look closer at what it found, with a second model. A frame in tiles is looked
// at as a whole, behind all of its tiles: a thing may lie in several of them.
type closer interface {
	Find(canvases []*tensor.Canvas, deadlineNs int64) []infer.Result // without looking closer
	Judge(f *frame.Frame, r *infer.Result, deadlineNs int64)
}

// find is one run of the engine on tiles, under the eyes of the watchdog.
func (t *track) find(canvases []*tensor.Canvas, deadlineNs int64) []infer.Result {
	engine, looks := t.engine.(closer)
	if !looks {
		return t.run(canvases, deadlineNs)
	}
	t.busyNs.Store(monotime.Now())
	defer t.busyNs.Store(0)
	return engine.Find(canvases, deadlineNs)
}

// judge lets the engine look closer at what was found in all tiles of a frame.
func (t *track) judge(f *frame.Frame, r *infer.Result, deadlineNs int64) {
	if engine, looks := t.engine.(closer); looks {
		t.busyNs.Store(monotime.Now())
		defer t.busyNs.Store(0)
		engine.Judge(f, r, deadlineNs)
	}
}
