package worker

import (
	"context"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// rig is what a station inspects with: a lane, and what goes before it. The station changes it from one part
// to the next; each part keeps its own to the end.
type rig struct {
	config *wire.StationConfig // its generation, method, template: nothing of the camera
	lane   *lane
	golden *golden
	free   chan *slot // of the lane's slots
	shadow *shadow    // sees parts that are done; nil: nobody does
}

// newRig loads what a configuration says around a lane.
func newRig(s *station, c *wire.StationConfig, l *lane) (*rig, error) {
	plan, err := planned(c, l)
	if err != nil {
		return nil, err
	}
	r := &rig{config: c, lane: l}
	if r.golden, err = loadGolden(c, plan); err != nil {
		return nil, err
	}
	if s.config.GetCamera() == "" { // nobody will inspect with it
		return r, nil
	}
	count := slots(len(l.tracks))
	r.free = make(chan *slot, count)
	for range count {
		r.free <- newSlot(s, r, plan)
	}
	return r, nil
}

// tiled says that frames are seen in tiles.
func (r *rig) tiled() bool { return r.config.GetTileOverlap() > 0 }

// gray says that the camera need not give colours, which only frames as large as a sheet gain by. A second
// model sees the frame's own pixels.
func (r *rig) gray() bool {
	second := r.lane.manifest.Then
	return r.tiled() && r.lane.plan.Monochrome() && (second == nil || second.Input.Channels == 1)
}

// describe writes into a station's state what it inspects with.
func (r *rig) describe(m *wire.StationState) {
	l := r.lane
	m.Provider, m.FellBack = l.state.GetProvider(), l.state.GetFellBack()
	m.FallbackReason = l.state.GetFallbackReason()
	model := l.state.GetModel()
	m.Model = &wire.Model{
		Name: model.GetName(), Version: model.GetVersion(), Digest: model.GetDigest(),
		Classes: model.GetClasses(), Template: r.config.GetTemplate().GetDigest(),
	}
	m.Generation = r.config.GetGeneration()
}

// drain waits until all parts of the rig are answered, and frees its canvases.
func (r *rig) drain(ctx context.Context) error {
	for range cap(r.free) {
		select {
		case s := <-r.free:
			s.close()
		case <-ctx.Done():
			return fmt.Errorf("drain: %w", context.Cause(ctx))
		}
	}
	return nil
}

// close frees the canvases that no part uses. Those in the lane's hands are left to the end of the process.
func (r *rig) close() {
	for {
		select {
		case s := <-r.free:
			s.close()
		default:
			return
		}
	}
}

// newSlot makes one slot of a rig.
func newSlot(s *station, r *rig, plan *tensor.Plan) *slot {
	job := &slot{
		station: s, rig: r, answer: &wire.Inspected{},
		found: grown(nil, r.lane.manifest.Decoder.MaxDetections),
	}
	if r.tiled() {
		job.sheet = newSheet(plan, r.lane, int(r.config.GetTileOverlap()))
	} else {
		job.canvas = tensor.NewCanvas(plan)
	}
	return job
}
