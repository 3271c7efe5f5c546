// Package inspector asks one station of a worker, part after part, without a line around it: for evaluation,
// benchmarks and checks.
package inspector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const (
	inbox = 64
	tell  = time.Second // between two calls of Options.Loading
	// grace is for the worker to say by itself that its load has taken too long, and for its camera.
	grace = time.Minute
)

// ErrRefused says that the worker will not run the station as configured.
var ErrRefused = errors.New("the worker refuses")

// ErrDied says that the worker process ended. It is not restarted.
var ErrDied = errors.New("the worker died")

// ErrLoading says that the station was not ready in the time that a load may take.
var ErrLoading = errors.New("the bundle was not loaded")

// Options says which worker runs which station.
type Options struct {
	Launch    func(context.Context) (vision.Process, error)
	Configure *wire.Configure // one station
	Log       *slog.Logger
	// Loading is told each second, while Ready waits, for how long it has; in the end it is told 0, if it was
	// told anything. May be nil.
	Loading func(elapsed time.Duration)
	// Progress is told, while Answer waits, how many tiles of a frame are done. May be nil.
	Progress func(done, total int)
	// Background has the worker wait for cores that others want.
	Background bool
}

// Inspector holds a worker. One caller at a time.
type Inspector struct {
	worker *vision.Worker
	inbox  chan any
	stop   context.CancelFunc
	limit  time.Duration // of Ready
	tell   func(elapsed time.Duration)
	report func(done, total int)
	job    uint64
}

// Open starts the worker; Ready waits for it.
func Open(ctx context.Context, o Options) *Inspector {
	ctx, stop := context.WithCancel(ctx)
	i := &Inspector{
		inbox: make(chan any, inbox), stop: stop, tell: o.Loading, report: o.Progress,
		limit: grace + wire.LongestLoad*time.Duration(max(1, o.Configure.GetParallelRuns())),
	}
	i.worker = vision.Start(ctx, vision.Options{
		Launch: o.Launch, Configure: o.Configure, Log: o.Log, Background: o.Background,
		Deliver: func(_ int, message any) {
			select {
			case i.inbox <- message:
			case <-ctx.Done():
			}
		},
	})
	return i
}

// Close ends the worker and waits for it.
func (i *Inspector) Close() {
	i.stop()
	i.worker.Close()
}

// Ready waits until the station runs, as long as the worker lets its bundle load, and returns its state. A
// refusal is ErrRefused with the worker's sentence; a worker that does neither is ErrLoading.
func (i *Inspector) Ready(ctx context.Context) (*wire.StationState, error) {
	over := fmt.Errorf("%w within %s: check the disk, and the driver of the bundle's execution provider",
		ErrLoading, i.limit)
	ctx, cancel := context.WithTimeoutCause(ctx, i.limit, over)
	defer cancel()
	defer i.told()()
	for {
		message, err := i.next(ctx)
		if err != nil {
			return nil, err
		}
		state, ok := message.(*wire.StationState)
		if !ok {
			continue
		}
		switch state.GetPhase() {
		case wire.Phase_PHASE_READY:
			return state, nil
		case wire.Phase_PHASE_REFUSED, wire.Phase_PHASE_FAILED, wire.Phase_PHASE_EXHAUSTED:
			return nil, fmt.Errorf("%w: %s", ErrRefused, state.GetReason())
		case wire.Phase_PHASE_UNSPECIFIED, wire.Phase_PHASE_OPENING: // not yet
		}
	}
}

// told calls Options.Loading until the returned function is called, which waits for it.
func (i *Inspector) told() (end func()) {
	if i.tell == nil {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(tell)
		defer ticker.Stop()
		for began, heard := time.Now(), false; ; heard = true {
			select {
			case <-ticker.C:
				i.tell(time.Since(began).Round(tell))
			case <-over:
				if heard {
					i.tell(0)
				}
				return
			}
		}
	}()
	return func() { close(over); <-done }
}

// Ask sends the next Inspect without waiting for its answer.
func (i *Inspector) Ask() error {
	i.job++
	if err := i.worker.Inspect(&wire.Inspect{Job: i.job}); err != nil {
		return fmt.Errorf("ask for an inspection: %w", err)
	}
	return nil
}

// Answer waits for the next Inspected and settles its part without evidence.
func (i *Inspector) Answer(ctx context.Context) (*wire.Inspected, error) {
	for {
		message, err := i.next(ctx)
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *wire.Inspected:
			return m, i.worker.Settle(&wire.Settle{Job: m.GetJob()})
		case *wire.Progress:
			if i.report != nil {
				i.report(int(m.GetDone()), int(m.GetTotal()))
			}
		}
	}
}

// PeakMemory is the most memory that the worker process had at once so far, in bytes, as the kernel counts it
// (VmHWM of proc_pid_status(5)).
func (i *Inspector) PeakMemory() (int64, error) {
	pid := i.worker.Pid()
	if pid == 0 {
		return 0, fmt.Errorf("peak memory: %w", vision.ErrDown)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("peak memory: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("peak memory: the kernel does not tell it")
}

func (i *Inspector) next(ctx context.Context) (any, error) {
	select {
	case message := <-i.inbox:
		if died, ok := message.(vision.Died); ok {
			return nil, fmt.Errorf("%w: %w", ErrDied, died.Err)
		}
		return message, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Milliseconds converts a duration of the protocol.
func Milliseconds(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

// Folder is the camera URI of a folder of images, whatever characters its path has. An empty glob takes all
// images.
func Folder(dir, glob string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve folder of images: %w", err)
	}
	options := url.Values{"path": {path}}
	if glob != "" {
		options.Set("glob", glob)
	}
	return "dir:?" + options.Encode(), nil
}
