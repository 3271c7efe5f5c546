package worker

import (
	"context"
	"log/slog"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

const (
	maxPictures    = 4 // parts that wait to be drawn; more are dropped and counted
	defaultQuality = 85
)

// picture is a settled part whose evidence is wanted. It owns its frame.
type picture struct {
	station *station
	frame   *frame.Frame
	wanted  *wire.Settle
}

// pictures draws evidence off the critical path, one part after another.
type pictures struct {
	conn  *wire.Conn
	log   *slog.Logger
	queue chan picture
}

func newPictures(conn *wire.Conn, log *slog.Logger) *pictures {
	return &pictures{conn: conn, log: log, queue: make(chan picture, maxPictures)}
}

// offer takes a picture over, or says no when too many wait.
func (p *pictures) offer(pic picture) bool {
	select {
	case p.queue <- pic:
		return true
	default:
		return false
	}
}

func (p *pictures) run(ctx context.Context) error {
	pen := evidence.NewPen()
	for {
		select {
		case pic := <-p.queue:
			err := p.draw(pen, pic)
			pic.frame.Release()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// draw sends the annotated frame and then the crops. Only a broken socket is an error: a part without
// picture is not.
func (p *pictures) draw(pen *evidence.Pen, pic picture) error {
	s, w := pic.station, pic.wanted
	quality := int(s.config.GetEvidenceQuality())
	if quality <= 0 || quality > 100 {
		quality = defaultQuality
	}
	marks := s.marks(w.GetDefects())
	crops := min(int(s.config.GetMaxCrops()), len(marks))
	for n := range 1 + max(crops, 0) {
		jpeg, err := p.picture(pen, pic, marks, n, quality)
		if err != nil {
			s.evidenceDropped.Add(1)
			p.log.Warn("evidence not drawn", "station", s.config.GetName(), "job", w.GetJob(), "error", err)
			return nil
		}
		message := &wire.Evidence{
			Station: s.index, Job: w.GetJob(), N: int32(n), Jpeg: jpeg,
			Last: n == crops,
		}
		if err := p.conn.Send(wire.KindEvidence, message); err != nil {
			return closed(err)
		}
	}
	return nil
}

func (p *pictures) picture(pen *evidence.Pen, pic picture, marks []evidence.Mark, n, quality int) ([]byte,
	error,
) {
	if n == 0 {
		caption := evidence.Caption{
			Verdict: pic.wanted.GetVerdict(),
			Text:    pic.station.config.GetName() + "  " + pic.frame.Source,
		}
		return pen.Annotate(pic.frame, caption, marks, quality)
	}
	return pen.Crop(pic.frame, marks[n-1], quality)
}

func (s *station) marks(defects []*wire.Detection) []evidence.Mark {
	classes := s.lane.session.Bundle.Manifest.Classes
	marks := make([]evidence.Mark, 0, len(defects))
	for _, d := range defects {
		if c := int(d.GetClass()); c >= 0 && c < len(classes) {
			marks = append(marks, evidence.Mark{
				Class: c, Name: classes[c].Name, Score: d.GetScore(),
				Box: [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()},
			})
		}
	}
	return marks
}
