package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker/stopwatch"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	warmup    = 10 // parts at the start that are not counted
	stopLimit = 8 * time.Second
)

// sample is one result as a subscriber received it.
type sample struct {
	at time.Time
	in event.Inspection
}

// deliver is the way from the event's creation to the subscriber, in milliseconds, over less than a few
// milliseconds of wall clock on one machine.
func (s *sample) deliver() float64 {
	return float64(s.at.Sub(s.in.CreationTime)) / float64(time.Millisecond)
}

// beyondModel is frame in memory to receipt, less the model's run, in milliseconds. Publish ends where the
// event is created.
func (s *sample) beyondModel() float64 {
	return s.in.TimesMs.Publish - s.in.TimesMs.Inference + s.deliver()
}

// anyStation stands for all stations of a line in a topic.
const anyStation = "+"

// line is how the stations under measurement run.
type line struct {
	stations int // alike, with the same bundle
	mode     string
	interval time.Duration // of mode interval
	parallel int
	step     string // to report progress of; may be empty
}

// lineRun runs the agent until all results have arrived after the warm-up.
func lineRun(ctx context.Context, o *Options, l line) (samples []sample, err error) {
	parts := o.Parts
	place := topic.Station{Enterprise: "bench", Site: "bench", Area: "bench", Line: "line1", Name: anyStation}
	client := fmt.Sprintf("bench-%d", os.Getpid())
	results, err := hear(ctx, o.Broker, client, place.Topic(topic.Result), 4*parts+256)
	if err != nil {
		return nil, err
	}
	defer results.stop()
	states, err := hear(ctx, o.Broker, client+"-state", place.Topic(topic.State), statesRoom)
	if err != nil {
		return nil, err
	}
	defer states.stop()
	agent, err := startAgent(ctx, o, place, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = agent.stop(err) }()
	wait := patience{most: wire.LongestLoad * time.Duration(l.parallel)}
	if err := first(ctx, results, states, wait); err != nil {
		return nil, err
	}
	states.stop()                           // nothing but the measurement takes time from now on
	laps := make([]stopwatch.Lap, 0, parts) // read when all is measured: the agent has the cores until then
	for n := 1 - warmup*l.stations; n < parts; n++ {
		lap, err := results.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("after %d parts: %w", n+warmup*l.stations, err)
		}
		if n >= 0 {
			laps = append(laps, lap)
		}
		if l.step != "" {
			o.Progress(l.step, max(0, n+1), parts)
		}
	}
	return read(laps)
}

func read(laps []stopwatch.Lap) ([]sample, error) {
	samples := make([]sample, 0, len(laps))
	for _, lap := range laps {
		s, err := newSample(lap)
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

func newSample(lap stopwatch.Lap) (sample, error) {
	e, err := event.Decode(lap.Payload)
	if err != nil {
		return sample{}, err
	}
	in, err := event.DecodeInspection(e.Data)
	return sample{at: lap.At, in: in}, err
}

// agent is the agent under measurement.
type agent struct {
	cmd *exec.Cmd
	dir string
	log *os.File
}

func startAgent(ctx context.Context, o *Options, place topic.Station, l line) (*agent, error) {
	dir, err := os.MkdirTemp("", "sightline-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder for the agent: %w", err)
	}
	a := &agent{dir: dir}
	var config strings.Builder
	fmt.Fprintf(&config, `place: %s/%s/%s
mqtt: {local: %q, client_id: bench-agent}
state_dir: %q
health: {listen: "off"}
worker: {path: %q, onnxruntime: %q, threads: %d, parallel: %d}
stations:
`, place.Enterprise, place.Site, place.Area, o.Broker, filepath.Join(dir, "state"), o.Worker, o.ONNXRuntime,
		o.Threads, l.parallel)
	for n := range l.stations {
		fmt.Fprintf(&config, `  - name: %s/aoi-%d
    camera: %q
    bundle: %q
    trigger: {mode: %s, deadline: 30s%s}
`, place.Line, n+1, o.Camera, o.Bundle.Dir, l.mode, intervalKey(l.interval))
	}
	path := filepath.Join(dir, "sightline.yaml")
	//nolint:forbidigo // a temporary file of one benchmark need not survive a power cut
	if err = os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("configure the agent: %w", err), os.RemoveAll(dir))
	}
	if a.log, err = os.Create(filepath.Join(dir, "agent.log")); err != nil {
		return nil, errors.Join(fmt.Errorf("create log: %w", err), os.RemoveAll(dir))
	}
	//nolint:gosec // this program itself
	a.cmd = exec.CommandContext(ctx, o.Agent, "run", path)
	a.cmd.Stderr = a.log
	a.cmd.Cancel = func() error { return a.cmd.Process.Signal(syscall.SIGTERM) }
	a.cmd.WaitDelay = stopLimit
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := a.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the agent: %w", err), a.log.Close(), os.RemoveAll(dir))
	}
	return a, nil
}

func intervalKey(interval time.Duration) string {
	if interval == 0 {
		return ""
	}
	return fmt.Sprintf(", interval: %s", interval)
}

// stop ends the agent. Its folder stays when something went wrong: the log in it tells what.
func (a *agent) stop(cause error) error {
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	err := errors.Join(cause, a.cmd.Wait(), a.log.Close())
	if err != nil {
		return fmt.Errorf("%w, see %s", err, a.log.Name())
	}
	return os.RemoveAll(a.dir)
}

// Loop is a loop of nothing but a model's runs, by the worker, with the same library as the agent's.
type Loop struct {
	Worker, Bundle, ONNXRuntime string
	Threads, Runs               int
	Parallel                    int // runs side by side, which share the threads
}

// PerRun is the time of one run: of all of them, over their number.
func (l *Loop) PerRun(ctx context.Context) (time.Duration, error) {
	//nolint:gosec // the operator's own worker
	command := exec.CommandContext(ctx, l.Worker, "bare", "--bundle", l.Bundle,
		"--onnxruntime", l.ONNXRuntime, "--threads", strconv.Itoa(l.Threads),
		"--runs", strconv.Itoa(l.Runs), "--parallel", strconv.Itoa(l.Parallel))
	out, err := command.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return 0, fmt.Errorf("bare loop: %w: %s", err, exit.Stderr)
		}
		return 0, fmt.Errorf("bare loop: %w", err)
	}
	var result struct {
		TotalNs int64 `json:"total_ns"`
		Runs    int64 `json:"runs"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, fmt.Errorf("bare loop: no figures in %q: %w", out, err)
	}
	if result.TotalNs <= 0 || result.Runs <= 0 {
		return 0, fmt.Errorf("bare loop: %s took %d ns for %d runs: is it this checkout's worker?", l.Worker,
			result.TotalNs, result.Runs)
	}
	return time.Duration(result.TotalNs / result.Runs), nil
}

func bareLoop(ctx context.Context, o *Options, runs, parallel int) (time.Duration, error) {
	loop := Loop{o.Worker, o.Bundle.Dir, o.ONNXRuntime, o.Threads, runs, parallel}
	return loop.PerRun(ctx)
}
