package worker

import (
	"context"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

const (
	maxFrames = 2 // parts whose frame waits to be sent as it came; more are dropped and counted
	// maxPlain bounds the picture of a frame, and chunk the part of it in one message: an answer that comes
	// meanwhile waits for no more than that.
	maxPlain = wire.MaxFrame
	chunk    = 256 << 10
)

// next returns the picture that is drawn, or sent as it came, next: evidence goes first. False: ctx ended.
func (p *pictures) next(ctx context.Context) (pic picture, toDraw, ok bool) {
	select {
	case pic = <-p.queue:
		return pic, true, true
	default:
	}
	select {
	case pic = <-p.queue:
		return pic, true, true
	case pic = <-p.frames:
		return pic, false, true
	case <-ctx.Done():
		return picture{}, false, false
	}
}

// offerFrame takes a picture over whose frame is wanted as it came, or drops and counts it.
func (p *pictures) offerFrame(pic picture) {
	select {
	case p.frames <- pic:
	default:
		pic.station.samplesDropped.Add(1)
		pic.station.done(pic.shot, pic.wanted.GetJob())
	}
}

// pass sends a picture's frame as it came, if that is wanted besides its evidence, and gives it back.
func (p *pictures) pass(pic picture) {
	if pic.wanted.GetSample() {
		p.offerFrame(pic)
		return
	}
	pic.station.done(pic.shot, pic.wanted.GetJob())
}

// plain sends a frame as it came, in parts. One that cannot be sent is dropped and counted.
func (p *pictures) plain(ctx context.Context, pic picture) {
	s, job := pic.station, pic.wanted.GetJob()
	defer s.done(pic.shot, job)
	picture, err := evidence.Plain(pic.frame, maxPlain)
	if err != nil {
		s.samplesDropped.Add(1)
		p.log.WarnContext(ctx, "frame not kept as a sample", "station", s.config.GetName(), "job", job,
			"error", err)
		return
	}
	for len(picture) > 0 {
		n := min(len(picture), chunk)
		message := &wire.Evidence{
			Station: s.index, Job: job, N: wire.PlainFrame, Jpeg: picture[:n], More: n < len(picture),
		}
		picture = picture[n:]
		select {
		case p.drawn <- message:
		case <-ctx.Done():
			return
		}
	}
}
