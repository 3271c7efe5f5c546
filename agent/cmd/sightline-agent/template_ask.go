package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Why a capture ends before its last board.
var (
	errLeft    = errors.New("standard input ended") // nobody presses Enter any more
	errStopped = errors.New("stopped")
	errEnded   = errors.New("the worker ended")
)

// unfinished says how far a capture came.
func unfinished(c *cobra.Command, why error, taken, boards int) error {
	if c.Context().Err() != nil { // whatever else that ended
		why = errStopped
	}
	return fmt.Errorf("%w after %d of %d boards: no template is made", why, taken, boards)
}

// conversation hears the worker and the person who puts boards in place, each on a goroutine of its own, so
// that neither is waited for when the other one leaves. One caller at a time.
type conversation struct {
	answers chan answer
	keys    chan error // an Enter, or why there will be none
	done    chan struct{}
	hearing sync.WaitGroup
}

// answer is a board of the worker, or why there will be none.
type answer struct {
	board wire.CapturedBoard
	err   error
}

// begin hears what the worker says, until end.
func (v *conversation) begin(worker io.Reader) {
	v.answers, v.keys, v.done = make(chan answer), make(chan error), make(chan struct{})
	v.hearing.Go(func() { v.hear(json.NewDecoder(worker)) })
}

func (v *conversation) hear(worker *json.Decoder) {
	for {
		var a answer
		switch a.err = worker.Decode(&a.board); {
		case errors.Is(a.err, io.EOF):
			a.err = errEnded
		case a.err != nil:
			a.err = fmt.Errorf("the worker's answer is not understood (is it of the agent's version? %w)",
				a.err)
		}
		select {
		case v.answers <- a:
		case <-v.done:
			return
		}
		if a.err != nil {
			return
		}
	}
}

// ask hears the person. A read of a terminal cannot be ended: its goroutine lives until the next line, or as
// long as the process.
func (v *conversation) ask(person io.Reader) {
	go func() {
		lines := bufio.NewReader(person)
		for {
			_, err := lines.ReadString('\n')
			select {
			case v.keys <- err:
			case <-v.done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
}

// enter waits until the person presses Enter.
func (v *conversation) enter(ctx context.Context) error {
	select {
	case err := <-v.keys:
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w (%w)", errLeft, err)
		}
		if err != nil {
			return errLeft
		}
		return nil
	case a := <-v.answers:
		if a.err == nil {
			return errors.New("the worker answered before it was asked (is it of the agent's version?)")
		}
		return a.err
	case <-ctx.Done():
		return errStopped
	}
}

// board waits for the worker's next board.
func (v *conversation) board(ctx context.Context) (*wire.CapturedBoard, error) {
	select {
	case a := <-v.answers:
		return &a.board, a.err
	case <-ctx.Done():
		return nil, errStopped
	}
}

// end stops hearing; the worker has ended.
func (v *conversation) end() {
	close(v.done)
	v.hearing.Wait()
}
