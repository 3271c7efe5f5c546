package worker

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

// lane is a session and the one goroutine that runs it, for all stations with the same bundle.
type lane struct {
	session *infer.Session
	jobs    chan *slot
	busyNs  atomic.Int64 // when the run under way began; 0: none
	answer  *wire.Inspected
	found   []*wire.Detection // memory of answer's detections
	truth   []*wire.Detection
}

func newLane(s *infer.Session, stations int) *lane {
	return &lane{
		session: s, jobs: make(chan *slot, slots*stations), answer: &wire.Inspected{},
		found: grown(nil, s.Bundle.Manifest.Decoder.MaxDetections),
	}
}

// run infers job after job until ctx ends, then frees the model.
func (l *lane) run(ctx context.Context) error {
	defer func() { _ = l.session.Close() }()
	for {
		select {
		case job := <-l.jobs:
			if err := l.infer(job); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *lane) infer(job *slot) error {
	l.busyNs.Store(monotime.Now())
	result, err := l.session.Infer(job.canvas, job.deadlineNs)
	l.busyNs.Store(0)
	s, f := job.station, job.frame
	l.fill(job, result, err)
	s.inspected.Add(1)
	s.keep(job.job, f) // before the answer: its settlement may follow at once
	job.frame = nil
	s.free <- job // never blocks: there are as many places as slots
	return closed(s.conn.Send(wire.KindInspected, l.answer))
}

// fill writes the answer, reusing its memory.
func (l *lane) fill(job *slot, r infer.Result, err error) {
	a, f := l.answer, job.frame
	l.truth = grown(l.truth, len(f.Truth))
	for i, t := range f.Truth {
		set(l.truth[i], t.Class, 1, t.Box)
	}
	for i, d := range r.Detections {
		set(l.found[i], d.Class, d.Score, d.Box)
	}
	a.Station, a.Job, a.Frame, a.ExposedNs = job.station.index, job.job, f.Seq, f.ExposedNs
	a.WaitNs, a.PreprocessNs = job.waitNs, job.preprocessNs+r.FillNs
	a.InferenceNs, a.DecodeNs = r.InferenceNs, r.DecodeNs
	a.Width, a.Height, a.Source, a.Simulated = int32(f.Width), int32(f.Height), said(f.Source), f.Simulated
	a.Detections, a.Truth = l.found[:len(r.Detections)], l.truth[:len(f.Truth)]
	a.Fault, a.FaultText = modelFault(err)
}

func set(d *wire.Detection, class int, score float32, box [4]float32) {
	d.Class, d.Score = int32(class), score
	d.X1, d.Y1, d.X2, d.Y2 = box[0], box[1], box[2], box[3]
}

// grown makes the list at least n long.
func grown(list []*wire.Detection, n int) []*wire.Detection {
	for len(list) < n {
		list = append(list, &wire.Detection{})
	}
	return list
}

func modelFault(err error) (wire.Fault, string) {
	switch {
	case err == nil:
		return wire.Fault_FAULT_NONE, ""
	case errors.Is(err, infer.ErrCancelled):
		return wire.Fault_FAULT_CANCELLED, said(err.Error())
	case errors.Is(err, detect.ErrOutput):
		return wire.Fault_FAULT_BAD_OUTPUT, said(err.Error())
	default:
		return wire.Fault_FAULT_MODEL, said(err.Error())
	}
}
