package station

import (
	"runtime"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

// Why a part is UNKNOWN: stable words, besides verdict.ReasonBadOutput.
const (
	ReasonDeadline   = "deadline"
	ReasonWorkerDied = "worker_died"
	ReasonNotReady   = "not_ready"
	ReasonOverrun    = "overrun"
	ReasonBadTrigger = "bad_trigger"
	ReasonShutdown   = "shutdown"
	ReasonNoFrame    = "no_frame"
	ReasonBadFrame   = "bad_frame"
	ReasonStale      = "stale_frame"
	ReasonUnaligned  = "template_unaligned"
	ReasonModel      = "model_failed"
	ReasonEnded      = "source_ended"
	ReasonEncoding   = "not_encoded"
	ReasonFault      = "worker_fault"
)

// FaultReason is the reason of an UNKNOWN for what the worker answered instead of detections.
func FaultReason(f wire.Fault) string {
	switch f {
	case wire.Fault_FAULT_NO_FRAME:
		return ReasonNoFrame
	case wire.Fault_FAULT_BAD_FRAME:
		return ReasonBadFrame
	case wire.Fault_FAULT_STALE:
		return ReasonStale
	case wire.Fault_FAULT_UNALIGNED:
		return ReasonUnaligned
	case wire.Fault_FAULT_MODEL:
		return ReasonModel
	case wire.Fault_FAULT_BAD_OUTPUT:
		return verdict.ReasonBadOutput
	case wire.Fault_FAULT_CANCELLED:
		return ReasonDeadline
	case wire.Fault_FAULT_NOT_READY:
		return ReasonNotReady
	case wire.Fault_FAULT_END:
		return ReasonEnded
	default:
		return ReasonFault
	}
}

// publish says a closed part's result: its id is minted and its bytes are made here and nowhere else. The PLC
// comes first; the cloud gets the same bytes.
func (s *Station) publish(p *inspected, out verdict.Outcome) {
	if p.View.begunNs == 0 {
		p.View.begunNs = s.opts.Now()
	}
	in, payload, err := s.encode(p, out)
	if err != nil { // something in it cannot be said; that the part is rejected can
		s.warn.Warn("result not encoded", "error", err)
		p.View.answer = nil
		if in, payload, err = s.encode(p, verdict.Unknown(ReasonEncoding, err.Error())); err != nil {
			s.opts.Log.Error("part left without a result", "part", p.PartID, "error", err)
			return
		}
	}
	s.line.Result(in.ResultID, payload)
	runtime.Gosched() // the PLC's sender goes first, and the rest of this turn after it
	rejected := !in.Accept
	if err := s.opts.Outbox(rejected, s.opts.Place.Topic(topic.Inspection), payload); err != nil {
		s.counters.add(CountOutboxLost, string(in.Verdict))
		s.warn.Warn("result not taken by the outbox", "error", err)
	}
	s.count(p, &in)
}

func (s *Station) encode(p *inspected, out verdict.Outcome) (event.Inspection, []byte, error) {
	id, err := event.NewID()
	if err != nil {
		return event.Inspection{}, nil, err
	}
	p.ResultID, p.View.outcome = id, out
	in := s.inspection(p)
	payload, err := event.Encode(id, event.TypeInspection, s.opts.Place, p.PartID, in.CreationTime, &in)
	return in, payload, err
}

func (s *Station) inspection(p *inspected) event.Inspection {
	now, out, answer := time.Now().UTC(), p.View.outcome, p.View.answer
	for i := range min(len(out.Defects), s.opts.MaxCrops) {
		out.Defects[i].Crop = i + 1
	}
	recipe := s.of(answer)
	model := recipe.model
	return event.Inspection{
		ResultID: p.ResultID, JobID: p.JobID, AcquisitionID: p.Job, PartID: p.PartID,
		RecipeID: recipe.ID, ProductID: p.ProductID, ConfigurationID: recipe.ConfigurationID,
		CreationTime: now, ProcessingTimes: s.processing(p, now),
		IsPartial: answer == nil, IsSimulated: s.seen.GetSimulated() || answer.GetSimulated(),
		ResultState: resultState(out),
		Verdict:     out.Verdict, Accept: out.Verdict.Accept(), Reason: out.Reason, Detail: clip(out.Detail),
		Overrun: s.line.Overrun(), Defects: out.Defects,
		Frame: event.Frame{
			Number: answer.GetFrame(), Width: answer.GetWidth(), Height: answer.GetHeight(),
			Source: clip(answer.GetSource()),
		},
		Model: event.Model{
			Name: model.GetName(), Version: model.GetVersion(), Digest: model.GetDigest(),
			Provider: recipe.provider, Template: model.GetTemplate(),
		},
		TimesMs: s.times(p), Truth: s.truth(answer),
	}
}

func (s *Station) processing(p *inspected, end time.Time) event.ProcessingTimes {
	t := event.ProcessingTimes{StartTime: p.At.UTC(), EndTime: end}
	if p.ExposedNs != 0 {
		t.AcquisitionDuration = ms(p.ExposedNs - p.TriggerNs)
		t.ProcessingDuration = ms(s.opts.Now() - p.ExposedNs)
	}
	return t
}

func (s *Station) times(p *inspected) event.TimesMs {
	a, now := p.View.answer, s.opts.Now()
	t := event.TimesMs{
		Preprocess: ms(a.GetPreprocessNs()), Inference: ms(a.GetInferenceNs()), Decode: ms(a.GetDecodeNs()),
		Verdict: ms(now - p.View.begunNs),
	}
	if p.ExposedNs != 0 {
		t.Capture, t.Publish = ms(p.ExposedNs-p.TriggerNs), ms(now-p.ExposedNs)
	}
	return t
}

func (s *Station) truth(answer *wire.Inspected) []event.Defect {
	if !answer.GetSimulated() {
		return nil
	}
	var truth []event.Defect
	for _, d := range answer.GetTruth() {
		truth = append(truth, event.Defect{
			Class: s.of(answer).Rules.Class(d.GetClass()), Score: d.GetScore(),
			Box: [4]float32{d.X1, d.Y1, d.X2, d.Y2},
		})
	}
	return truth
}

func (s *Station) count(p *inspected, in *event.Inspection) {
	s.counters.add(CountParts, string(in.Verdict))
	if in.Verdict == event.Unknown {
		s.counters.add(CountUnknown, in.Reason)
	}
	if s.opts.Observe == nil {
		return
	}
	seen := Closed{Verdict: in.Verdict, Reason: in.Reason}
	if p.ExposedNs != 0 {
		seen.Decision = time.Duration(s.opts.Now() - p.ExposedNs)
	}
	s.opts.Observe(seen)
}

func resultState(out verdict.Outcome) int32 {
	switch {
	case out.Verdict != event.Unknown:
		return event.ResultCompleted
	case out.Reason == ReasonDeadline, out.Reason == ReasonWorkerDied, out.Reason == ReasonShutdown:
		return event.ResultAborted
	default:
		return event.ResultFailed
	}
}

func ms(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

// clip bounds a worker's text in an event.
func clip(text string) string { return clipTo(clipBytes, text) }

func clipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(cut)], "") + cut
}
