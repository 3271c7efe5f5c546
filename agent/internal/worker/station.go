package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

const maxOrders = 64 // Inspects that wait for their frame: what the supervisor's ledger holds

// order is one Inspect.
type order struct {
	job                   uint64
	deadlineNs, triggerNs int64
	budgetNs              int64 // without a deadline: from the exposure to it
}

// slot carries one frame from the camera to the lane and comes back. It has a canvas with the frame, or, if
// frames are seen in tiles, a sheet.
type slot struct {
	order
	station      *station
	rig          *rig
	frame        *frame.Frame
	canvas       *tensor.Canvas
	sheet        *sheet
	preprocessNs int64
	looks        tensor.Appearance // of the frame
	turn         uint64            // among its station's answers
	arrival      uint64            // in the lane's queue
	answer       *wire.Inspected
	found        []*wire.Detection // memory of answer's detections
	truth        []*wire.Detection
	heat         *evidence.Heat // of the frame, for its picture; nil where nothing is unusual
}

// fill writes the answer, reusing its memory.
func (s *slot) fill(r inspection, err error) {
	a, f := s.answer, s.frame
	s.found = grown(s.found, len(r.Detections))
	s.truth = grown(s.truth, len(f.Truth))
	for i, known := range f.Truth {
		set(s.truth[i], known.Class, 1, known.Box)
	}
	for i, d := range r.Detections {
		set(s.found[i], d.Class, d.Score, d.Box)
		s.found[i].Outline, s.found[i].Area = wire.AppendPoints(s.found[i].Outline[:0], d.Outline), d.Area
		s.found[i].Measures = append(s.found[i].Measures[:0], d.Measures...)
	}
	a.Station, a.Job, a.Frame, a.ExposedNs = s.station.index, s.job, f.Seq, f.ExposedNs
	a.Generation = s.rig.config.GetGeneration()
	a.PreprocessNs, a.InferenceNs, a.DecodeNs = s.preprocessNs+r.FillNs, r.InferenceNs, r.DecodeNs
	a.Width, a.Height, a.Source, a.Simulated = int32(f.Width), int32(f.Height), said(f.Source), f.Simulated
	a.Tiles, a.Dropped = uint32(r.tiles), uint32(r.Cut.Count)
	a.DroppedScore = r.Cut.Score
	a.Looked = true
	a.InputMean, a.InputDeviation, a.InputSharpness = s.looks.Mean, s.looks.Deviation, s.looks.Sharpness
	a.Detections, a.Truth = s.found[:len(r.Detections)], s.truth[:len(f.Truth)]
	a.Fault, a.FaultText = modelFault(err)
	s.warm(r.Heat)
}

// fit makes the frame ready for the lane.
func (s *slot) fit(f *frame.Frame) error {
	if s.sheet != nil {
		return s.sheet.lay(f, s.rig.golden)
	}
	if err := s.canvas.Fit(f); err != nil {
		return err
	}
	return s.rig.golden.match(s.canvas)
}

func (s *slot) close() {
	if s.sheet != nil {
		s.sheet.close()
		return
	}
	s.canvas.Close()
}

// station is one camera and what its frames are inspected with. Its capture loop is one goroutine.
type station struct {
	index    uint32
	config   *wire.StationConfig // of the camera; what may change is in the rig
	conn     *wire.Conn
	log      *slog.Logger
	pictures *pictures
	die      func(error)
	alone    bool // no other station of the process has a camera

	orders chan order
	turns  turns
	ready  atomic.Bool // model and camera are there
	opened chan struct{}
	camera camera    // set before ready, which is set before opened closes
	rig    *rig      // set before ready, then the capture loop's
	next   chan *rig // to the capture loop
	last   chan *rig // back from it
	kept   *kept
	// shadowed are the frames that the shadow has seen, each until it is settled.
	shadowed *kept
	pace     pace // of the capture loop

	inspected, evidenceDropped, samplesDropped atomic.Uint64

	state struct {
		sync.Mutex // held while sending, so that states arrive in order
		message    *wire.StationState
	}
}

func newStation(index uint32, c *wire.StationConfig, w *worker) *station {
	s := &station{
		index: index, config: c, conn: w.conn, log: w.log.With("station",
			c.GetName()), pictures: w.pictures, die: w.die,
		opened: make(chan struct{}), orders: make(chan order, maxOrders), next: make(chan *rig),
		last: make(chan *rig, 1),
		pace: newPace(),
	}
	s.alone = !slices.ContainsFunc(w.config.GetStations(), func(other *wire.StationConfig) bool {
		return other != c && other.GetCamera() != ""
	})
	s.kept = newKept(maxKept+parallel(w.config), &s.evidenceDropped)
	s.shadowed = newKept(shadowKept, &s.evidenceDropped)
	s.state.message = &wire.StationState{
		Station: index, Phase: wire.Phase_PHASE_OPENING,
		Reason: wire.ReasonLoading,
	}
	return s
}

// order takes an Inspect without waiting. What cannot be taken is answered at once.
func (s *station) order(o order) error {
	if !s.ready.Load() {
		return s.refuse(o, wire.Fault_FAULT_NOT_READY, s.reason())
	}
	select {
	case s.orders <- o:
		return nil
	default:
		return s.refuse(o, wire.Fault_FAULT_NOT_READY,
			"more parts wait for their frame than the station can hold")
	}
}

// capture takes a frame for each order and passes it to the lane, until ctx ends. Between two orders it takes
// the next rig.
func (s *station) capture(ctx context.Context) error {
	exposed := &wire.Exposed{Station: s.index}
	for {
		select {
		case o := <-s.orders:
			if err := s.expose(ctx, o, exposed); err != nil {
				return err
			}
		case r := <-s.next:
			if err := s.take(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// take inspects with another rig from the next part on. Nobody hears of one of its parts before it is told.
func (s *station) take(r *rig) error {
	last := s.rig
	s.rig = r
	err := s.change(r.describe)
	s.last <- last // never blocks: it has room for one, and one change is under way
	return err
}

func (s *station) expose(ctx context.Context, o order, exposed *wire.Exposed) error {
	if o.triggerNs == 0 { // no event waits to be seen: the later it is taken, the fresher is its verdict
		s.pace.wait(ctx, s.rig.lane)
	}
	began := monotime.Now()
	f, err := s.camera.Next(ctx, o.triggerNs, o.deadlineNs)
	switch {
	case ctx.Err() != nil:
		return errDone // nobody listens any more
	case err != nil:
		return s.refuse(o, cameraFault(err), err.Error())
	}
	exposed.Job, exposed.Frame, exposed.ExposedNs = o.job, f.Seq, f.ExposedNs
	if err := s.conn.Send(wire.KindExposed, exposed); err != nil {
		return closed(err)
	}
	read := monotime.Now() - began
	select { // the frame may have been long in coming
	case r := <-s.next:
		if err := s.take(r); err != nil {
			return err
		}
	default:
	}
	select {
	case slot := <-s.rig.free:
		return s.prepare(slot, o, f, read)
	case <-ctx.Done():
		return nil
	}
}

// prepare scales the frame into the slot and hands it to the lane, which gives the slot back.
func (s *station) prepare(slot *slot, o order, f *frame.Frame, readNs int64) error {
	if o.deadlineNs == 0 && o.budgetNs > 0 {
		o.deadlineNs = f.ExposedNs + o.budgetNs
	}
	slot.order, slot.frame = o, f
	err := s.rig.golden.brought(f) // not part of the inspection: no line brings a template with each part
	start := monotime.Now()
	if err == nil {
		err = slot.fit(f)
	}
	if err != nil {
		s.rig.free <- slot // never blocks: there are as many places as slots
		return s.unfit(o, f, err)
	}
	slot.looks = tensor.LookAt(f)
	slot.preprocessNs, slot.turn = monotime.Now()-start, s.turns.next()
	s.pace.took(readNs + slot.preprocessNs)
	s.rig.lane.jobs.add(slot)
	return nil
}

// unfit answers a part whose frame does not reach the model. One that its template does not fit is kept, for
// a picture that shows why.
func (s *station) unfit(o order, f *frame.Frame, err error) error {
	if !errors.Is(err, pairing.ErrUnaligned) {
		f.Release()
		return s.refuse(o, wire.Fault_FAULT_BAD_FRAME, err.Error())
	}
	answer := &wire.Inspected{
		Station: s.index, Job: o.job, Frame: f.Seq, ExposedNs: f.ExposedNs,
		Width: int32(f.Width), Height: int32(f.Height), Source: said(f.Source), Simulated: f.Simulated,
		Generation: s.rig.config.GetGeneration(),
		Fault:      wire.Fault_FAULT_UNALIGNED, FaultText: said(err.Error()),
	}
	s.inspected.Add(1)
	s.keep(o.job, shot{frame: f, rig: s.rig}) // before the answer: its settlement may follow at once
	return closed(s.conn.Send(wire.KindInspected, answer))
}

// reply sends a slot's answer and gives the slot back.
func (s *station) reply(job *slot) error {
	err := s.conn.Send(wire.KindInspected, job.answer)
	job.rig.free <- job // never blocks: there are as many places as slots
	return closed(err)
}

// refuse answers an Inspect that never reaches the model.
func (s *station) refuse(o order, fault wire.Fault, text string) error {
	s.inspected.Add(1)
	return closed(s.conn.Send(wire.KindInspected, &wire.Inspected{
		Station: s.index, Job: o.job, Fault: fault, FaultText: said(text),
	}))
}

// settled frees the part's frame, or sends it on to be drawn when evidence is wanted.
func (s *station) settled(job uint64, wanted *wire.Settle) {
	if seen, known := s.kept.take(job, wanted); known {
		s.finish(seen, job, wanted)
	}
}

// keep holds the frame of an answered part until it is settled, or finishes it when it already was.
func (s *station) keep(job uint64, seen shot) {
	evicted, wanted, settled := s.kept.put(job, seen)
	if evicted != nil {
		evicted.Release()
	}
	if settled {
		s.finish(seen, job, wanted)
	}
}

func (s *station) finish(seen shot, job uint64, wanted *wire.Settle) {
	if wanted == nil {
		s.done(seen, job)
		return
	}
	pic := picture{seen, s, wanted}
	if !wanted.GetEvidence() {
		s.pictures.offerFrame(pic)
		return
	}
	if !s.pictures.offer(pic) {
		s.evidenceDropped.Add(1)
		s.pictures.pass(pic)
	}
}
