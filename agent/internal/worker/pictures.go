package worker

import (
	"context"
	"log/slog"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

const (
	maxPictures    = 4 // parts that wait to be drawn; more are dropped and counted
	defaultQuality = 85
	lowPriority    = 19 // nice value: the lowest there is
)

// picture is a settled part whose evidence is wanted. It owns its frame.
type picture struct {
	shot

	station *station
	wanted  *wire.Settle
}

// pictures draws evidence off the critical path, one part after another, on a thread of low priority:
// inference has the cores first. It never holds the socket: another goroutine sends.
type pictures struct {
	conn  *wire.Conn
	log   *slog.Logger
	queue chan picture
	// frames are those that are wanted as they came. Both kinds count as lent by their camera.
	frames chan picture
	drawn  chan *wire.Evidence
}

func newPictures(conn *wire.Conn, log *slog.Logger) *pictures {
	return &pictures{
		conn: conn, log: log, queue: make(chan picture, maxPictures),
		frames: make(chan picture, maxFrames), drawn: make(chan *wire.Evidence, 1),
	}
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

// busy says that pictures wait to be drawn.
func (p *pictures) busy() bool { return len(p.queue) > 0 || len(p.frames) > 0 }

func (p *pictures) run(ctx context.Context) error {
	runtime.LockOSThread() // never unlocked, so that the thread ends with its priority
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowPriority); err != nil {
		p.log.WarnContext(ctx, "evidence is drawn at normal priority", "error", err)
	}
	tools := drawing{pen: evidence.NewPen()}
	defer tools.pen.Close()
	defer tools.beside.close()
	for {
		pic, toDraw, ok := p.next(ctx)
		switch {
		case !ok:
			return nil
		case toDraw:
			p.draw(ctx, &tools, pic)
			p.pass(pic)
		default:
			p.plain(ctx, pic)
		}
	}
}

// drawing is what pictures are drawn with, and the one that is drawn. Not safe for concurrent use.
type drawing struct {
	pen    *evidence.Pen
	beside beside
	view   view
}

// draw makes the annotated frame and then the crops. A picture that cannot be drawn is dropped and counted.
func (p *pictures) draw(ctx context.Context, d *drawing, pic picture) {
	s, w := pic.station, pic.wanted
	quality := int(pic.rig.config.GetEvidenceQuality())
	if quality <= 0 || quality > 100 {
		quality = defaultQuality
	}
	marks := pic.rig.marks(w.GetDefects())
	crops := min(int(pic.rig.config.GetMaxCrops()), len(marks))
	var err error
	if d.view, err = d.beside.look(&pic, d.pen); err != nil {
		p.log.WarnContext(ctx, "evidence drawn without its template", "station", s.config.GetName(),
			"job", w.GetJob(), "error", err)
	}
	for n := range 1 + max(crops, 0) {
		jpeg, err := pic.draw(d, marks, n, quality)
		if err != nil {
			s.evidenceDropped.Add(1)
			p.log.WarnContext(ctx, "evidence not drawn", "station", s.config.GetName(), "job", w.GetJob(),
				"error", err)
			return
		}
		message := &wire.Evidence{Station: s.index, Job: w.GetJob(), N: int32(n), Jpeg: jpeg}
		if w.GetShadow() {
			message.N += wire.ShadowPictures
		}
		select {
		case p.drawn <- message:
		case <-ctx.Done():
			return
		}
	}
}

// send passes drawn pictures on.
func (p *pictures) send(ctx context.Context) error {
	for {
		select {
		case m := <-p.drawn:
			if err := p.conn.Send(wire.KindEvidence, m); err != nil {
				return closed(err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *picture) draw(d *drawing, marks []evidence.Mark, n, quality int) ([]byte, error) {
	if n > 0 {
		return p.crop(d, marks[n-1], quality)
	}
	text := p.station.config.GetName() + "   " + p.frame.Source
	if p.frame.Simulated {
		text = p.station.config.GetName() + "   simulated board " + p.frame.Source
	}
	caption := evidence.Caption{Verdict: p.wanted.GetVerdict(), Text: text}
	if v := &d.view; v.misfit {
		caption.Text += "   the golden template does not fit" + v.where
		if v.golden != nil {
			return d.pen.Misfit(v.frame, v.golden, caption, quality)
		}
	}
	if d.view.golden == nil {
		return d.pen.Heated(p.frame, p.heat, caption, marks, quality)
	}
	return d.pen.Annotate(p.frame, d.view.golden, caption, marks, quality)
}

// crop shows one defect: of a sheet, in the part around it that is aligned for it.
func (p *picture) crop(d *drawing, m evidence.Mark, quality int) ([]byte, error) {
	if p.trail == nil {
		return d.pen.Crop(p.frame, d.view.golden, m, quality)
	}
	part, err := d.beside.sheet.around(p, m)
	if err != nil {
		return nil, err
	}
	return d.pen.Crop(part.frame, part.golden, part.mark, quality)
}

func (r *rig) marks(defects []*wire.Detection) []evidence.Mark {
	classes := r.lane.manifest.Classes
	marks := make([]evidence.Mark, 0, len(defects))
	for _, d := range defects {
		if c := int(d.GetClass()); c >= 0 && c < len(classes) {
			marks = append(marks, evidence.Mark{
				Class: c, Name: classes[c].Name, Score: d.GetScore(),
				Box:     [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()},
				Outline: wire.Points(d.GetOutline()),
			})
		}
	}
	return marks
}
