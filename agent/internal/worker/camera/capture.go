package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// A camera that returns is found within the longest wait and the time to open it: together below two seconds.
const (
	firstWait = 100 * time.Millisecond
	longest   = 1600 * time.Millisecond
)

// run opens captures one after the other until there is no sense in it any more.
func (c *Camera) run(ctx context.Context) {
	defer close(c.done)
	defer c.enter(Closed, "the camera is closed")
	watch := newStale(c.opt.StaleAfter)
	wait := firstWait
	for worked := false; ; {
		began := time.Now()
		s := session{c: c, stale: watch, flight: flight{latency: c.spec.latency}, again: worked}
		err := s.run(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, io.EOF):
			c.enter(Ended, "there are no more frames")
			<-ctx.Done()
			return
		case c.stuck.Load() >= maxStuck:
			c.enter(Exhausted, fmt.Sprintf("%d captures hang in their driver, the last: %v; "+
				"the worker process must be replaced", c.stuck.Load(), err))
			<-ctx.Done()
			return
		}
		c.enter(Failed, err.Error())
		if s.worked {
			worked, wait, began = true, firstWait, time.Now()
		}
		if !pause(ctx, wait-time.Since(began)) { // a timeout is a wait, too
			return
		}
		wait = min(2*wait, longest)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// session is the life of one capture.
type session struct {
	c      *Camera
	stale  *stale
	flight flight
	r      *reader
	timer  *time.Timer  // of the job under way
	tick   *time.Ticker // of a source with a rate
	hand   *frame.Frame // empty, for the next read; nil while the reader has it
	again  bool         // a capture before this one worked
	worked bool         // this one has
	begun  bool         // its first read is behind it
}

// run opens the source and reads until something ends it: the reason is never nil.
func (s *session) run(ctx context.Context) error {
	c := s.c
	s.timer = time.NewTimer(c.opt.OpenTimeout)
	defer s.timer.Stop()
	s.r = startReader(c.open, c.opt.now, &c.stuck)
	_, err := s.await(ctx, "open the camera", c.opt.OpenTimeout)
	if err == nil {
		err = s.readAll(ctx)
	}
	s.end(err)
	return err
}

func (s *session) readAll(ctx context.Context) error {
	if s.c.spec.rate > 0 {
		s.tick = time.NewTicker(time.Duration(float64(time.Second) / s.c.spec.rate))
		defer s.tick.Stop()
	}
	if !s.c.spec.paced() {
		s.c.restart()
		s.ready()
	}
	for {
		if err := s.turn(ctx); err != nil {
			return err
		}
		s.r.jobs <- s.hand
		s.hand, s.begun = nil, true
		got, err := s.await(ctx, "read a frame", s.patience())
		if err != nil {
			return err
		}
		if err := s.settle(got); err != nil {
			return err
		}
	}
}

// patience is what the job may take. The first frame of a live camera belongs to its opening.
func (s *session) patience() time.Duration {
	if s.worked {
		return s.c.opt.ReadTimeout
	}
	return max(s.c.opt.OpenTimeout, s.c.opt.ReadTimeout)
}

// turn waits until the next frame is due, and has an empty one at hand for it.
func (s *session) turn(ctx context.Context) error {
	if err := s.due(ctx); err != nil {
		return err
	}
	for s.hand == nil {
		if s.hand = s.c.pool.Get(); s.hand != nil {
			break
		}
		select {
		case <-s.c.pool.Returned():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *session) due(ctx context.Context) error {
	switch {
	case !s.c.spec.paced():
		for !s.c.wanted() {
			select {
			case <-s.c.want:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	case s.tick != nil && s.begun:
		select {
		case <-s.tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// await takes the outcome of the reader's job, or gives it up.
func (s *session) await(ctx context.Context, job string, timeout time.Duration) (reading, error) {
	s.timer.Reset(timeout)
	select {
	case got := <-s.r.done:
		if got.f == nil && got.err != nil {
			return got, fmt.Errorf("%s: %w", job, got.err)
		}
		return got, nil
	case <-s.timer.C:
		return reading{}, &hungError{job: job, timeout: timeout}
	case <-ctx.Done():
		return reading{}, ctx.Err()
	}
}

// settle puts what was read into the mailbox, or returns why the session is over.
func (s *session) settle(got reading) error {
	c := s.c
	switch {
	case got.err == nil:
		s.ready()
		s.judge(got)
		return nil
	case errors.Is(got.err, ErrBadFrame):
		s.hand = got.f
		_, surely := s.flight.times(got.at)
		c.deliverError(surely, got.err)
		return nil
	case errors.Is(got.err, io.EOF):
		s.hand = got.f
		return io.EOF
	default:
		s.hand = got.f
		return fmt.Errorf("read a frame: %w", got.err)
	}
}

// judge withholds a frame that repeats the ones before it, and delivers any other.
func (s *session) judge(got reading) {
	c, f := s.c, got.f
	exposed, surely := s.flight.times(got.at)
	if c.spec.live() {
		stale := s.stale.seen(f)
		if stale != c.State().Stale {
			c.setStale(stale)
		}
		if stale {
			s.hand = f
			c.deliverError(surely, ErrStale)
			return
		}
	}
	f.ExposedNs, f.Simulated = exposed, c.spec.simulated()
	s.hand = c.deliver(f, surely)
}

func (s *session) ready() {
	if s.worked {
		return
	}
	s.worked = true
	s.c.opened(s.again)
}

// end stops the reader. One that hangs is not waited for again; one that is interrupted by Close may finish.
func (s *session) end(why error) {
	c := s.c
	if s.hand != nil {
		s.hand.Release()
		s.hand = nil
	}
	grace := c.opt.ReadTimeout
	if hung := (*hungError)(nil); errors.As(why, &hung) {
		grace = 0
	}
	if s.r.stop(grace) {
		return
	}
	c.mu.Lock()
	c.counts.HungCaptures++
	c.mu.Unlock()
	c.log.Warn("capture abandoned", "stuck", c.stuck.Load())
}

// hungError: the driver did not come back.
type hungError struct {
	job     string
	timeout time.Duration
}

func (e *hungError) Error() string {
	return fmt.Sprintf("%s: the camera's driver did not answer within %v; check its cable, power and network",
		e.job, e.timeout)
}
