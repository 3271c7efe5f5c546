// Package bench measures the agent as it runs on a line: the real processes, a real broker, and the clock of
// a subscriber.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Options says what is measured, and with what.
type Options struct {
	Bundle      *bundle.Bundle
	Agent       string // this program
	Worker      string
	ONNXRuntime string
	Camera      string // source URI of one frame in memory after another
	Broker      string // empty: a mosquitto of its own
	Parts       int    // for latency, and for each round of throughput
	Rounds      int
	Threads     int
	Parallel    int // runs side by side when throughput is measured, with the threads divided among them
	Stations    int // that share the bundle when throughput is measured
	Progress    func(step string, done, total int)
	Log         *slog.Logger
}

// Report is what was measured. Times in milliseconds. Beyond the model is a subscriber's receipt of the
// result, less the frame's completion in memory, less the model's own run, part by part.
type Report struct {
	Parts          int     `json:"parts"`
	Rounds         int     `json:"rounds"`
	Camera         string  `json:"camera"`
	Bundle         string  `json:"bundle"`
	Provider       string  `json:"provider"`
	Threads        int     `json:"threads"`
	Parallel       int     `json:"parallel"`    // runs side by side
	IntervalMs     float64 `json:"interval_ms"` // from one part to the next, where latency is measured
	Stations       int     `json:"stations"`    // of throughput
	BeyondModelP50 float64 `json:"beyond_model_ms_p50"`
	BeyondModelP99 float64 `json:"beyond_model_ms_p99"`
	PreprocessP50  float64 `json:"preprocess_ms_p50"`
	DecodeP50      float64 `json:"decode_ms_p50"`
	DeliverP50     float64 `json:"deliver_ms_p50"` // result's creation to the subscriber
	ModelP50       float64 `json:"model_ms_p50"`
	ModelP99       float64 `json:"model_ms_p99"`
	Single         Rate    `json:"throughput_single"`   // one run at a time on all threads
	SideBySide     Rate    `json:"throughput_parallel"` // runs side by side that share the threads
	// Throughput is the agent with runs side by side over the plain bare loop, one run at a time on all
	// threads: median over the rounds.
	Throughput    float64   `json:"throughput_ratio"`
	Verdicts      int       `json:"verdicts"`
	Unknown       int       `json:"unknown"`
	BeyondModelMs []float64 `json:"beyond_model_ms"`
}

// Rate is the agent's throughput beside that of a bare loop which runs the model in the same way.
type Rate struct {
	AgentFPS float64   `json:"agent_fps"`
	BareFPS  float64   `json:"bare_fps"`
	Ratio    float64   `json:"ratio"`  // median over the rounds of agent over bare
	Rounds   []float64 `json:"rounds"` // each round's
}

// Limits of docs/benchmarks.md.
const (
	LimitP50        = 1.5
	LimitP99        = 3.0
	LimitThroughput = 0.95
)

// ErrLimit says that a figure is outside its limit.
var ErrLimit = errors.New("a figure is outside its limit")

// ErrOptions says that nothing can be measured as asked.
var ErrOptions = errors.New("nothing to measure")

const (
	leastParts  = 2  // have a time between them
	maxStations = 64 // of an agent
)

func (o *Options) check() error {
	switch {
	case o.Parts < leastParts:
		return fmt.Errorf("%w: %d parts: throughput is the time between parts, so take 2 or more", ErrOptions,
			o.Parts)
	case o.Rounds < 0:
		return fmt.Errorf("%w: %d rounds of throughput: take 1 or more, or 0 for latency only", ErrOptions,
			o.Rounds)
	case o.Threads < 1 || o.Parallel < 1:
		return fmt.Errorf("%w: %d threads and %d runs side by side: take 1 or more of each", ErrOptions,
			o.Threads, o.Parallel)
	}
	if o.Stations < 1 || o.Stations > maxStations {
		return fmt.Errorf("%w: %d stations: take 1 to %d", ErrOptions, o.Stations, maxStations)
	}
	return nil
}

// Run measures latency, then throughput in alternating rounds.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Broker == "" {
		broker, err := startMosquitto(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, broker.stop()) }()
		o.Broker = "tcp://" + broker.addr
	}
	r := &Report{
		Parts:   o.Parts,
		Rounds:  o.Rounds,
		Camera:  o.Camera,
		Bundle:  o.Bundle.Digest,
		Threads: o.Threads, Parallel: o.Parallel, Stations: o.Stations,
	}
	if err := r.latency(ctx, &o); err != nil {
		return nil, fmt.Errorf("latency: %w", err)
	}
	if err := r.throughput(ctx, &o); err != nil {
		return nil, fmt.Errorf("throughput: %w", err)
	}
	return r, nil
}

// Check returns ErrLimit with every figure that is outside.
func (r *Report) Check() error {
	var errs []error
	for _, c := range []struct {
		name         string
		value, limit float64
	}{
		{"beyond_model_ms_p50", r.BeyondModelP50, LimitP50},
		{"beyond_model_ms_p99", r.BeyondModelP99, LimitP99},
		{"-throughput_ratio", -r.Throughput, -LimitThroughput},
	} {
		if c.name == "-throughput_ratio" && r.Rounds == 0 {
			continue
		}
		if !(c.value <= c.limit) {
			errs = append(
				errs,
				fmt.Errorf(
					"%w: %s is %.3f, limit %.3f",
					ErrLimit,
					c.name,
					math.Abs(c.value),
					math.Abs(c.limit),
				),
			)
		}
	}
	if r.Unknown > 0 {
		errs = append(errs, fmt.Errorf("%w: %d of %d parts ended UNKNOWN", ErrLimit, r.Unknown, r.Verdicts))
	}
	return errors.Join(errs...)
}

// spare is the room between two parts of the latency run, as a multiple of the model's time: no part waits
// for another.
const spare = 4

func (r *Report) latency(ctx context.Context, o *Options) error {
	bare, err := bareLoop(ctx, o, 20, 1)
	if err != nil {
		return err
	}
	interval := max(time.Duration(spare*float64(bare)), 20*time.Millisecond)
	r.IntervalMs = float64(interval) / float64(time.Millisecond)
	samples, err := lineRun(ctx, o, line{
		stations: 1, mode: "interval", interval: interval, parallel: 1, step: "latency",
	})
	if err != nil {
		return err
	}
	var beyond, model, preprocess, decode, deliver []float64
	for i := range samples {
		s := &samples[i]
		r.count(s)
		r.Provider = s.in.Model.Provider
		beyond = append(beyond, s.beyondModel())
		deliver = append(deliver, s.deliver())
		model = append(model, s.in.TimesMs.Inference)
		preprocess = append(preprocess, s.in.TimesMs.Preprocess)
		decode = append(decode, s.in.TimesMs.Decode)
	}
	r.BeyondModelMs = slices.Clone(beyond)
	r.BeyondModelP50, r.BeyondModelP99 = eval.Quantile(beyond, 0.5), eval.Quantile(beyond, 0.99)
	r.ModelP50, r.ModelP99 = eval.Quantile(model, 0.5), eval.Quantile(model, 0.99)
	r.PreprocessP50, r.DecodeP50 = eval.Quantile(preprocess, 0.5), eval.Quantile(decode, 0.5)
	r.DeliverP50 = eval.Quantile(deliver, 0.5)
	return nil
}

// throughput takes both sides in both ways in each round, so that what changes on the machine meets all four.
func (r *Report) throughput(ctx context.Context, o *Options) error {
	sides := []struct {
		rate        *Rate
		parallel    int
		agent, bare []float64
	}{{rate: &r.Single, parallel: 1}, {rate: &r.SideBySide, parallel: o.Parallel}}
	for round := range o.Rounds {
		for i := range sides {
			s := &sides[i]
			o.Progress("throughput", round*len(sides)+i, o.Rounds*len(sides))
			loop, err := bareLoop(ctx, o, o.Parts, s.parallel)
			if err != nil {
				return err
			}
			agent, err := r.agentRate(ctx, o, s.parallel)
			if err != nil {
				return err
			}
			s.agent = append(s.agent, agent)
			s.bare = append(s.bare, 1/loop.Seconds())
			s.rate.Rounds = append(s.rate.Rounds, s.agent[round]/s.bare[round])
		}
	}
	o.Progress("throughput", o.Rounds*len(sides), o.Rounds*len(sides))
	for _, s := range sides {
		s.rate.AgentFPS, s.rate.BareFPS = eval.Quantile(s.agent, 0.5), eval.Quantile(s.bare, 0.5)
		s.rate.Ratio = eval.Quantile(slices.Clone(s.rate.Rounds), 0.5)
	}
	var ratios []float64
	for round, plain := range sides[0].bare {
		ratios = append(ratios, sides[1].agent[round]/plain)
	}
	if len(ratios) > 0 {
		r.Throughput = eval.Quantile(ratios, 0.5)
	}
	return nil
}

// agentRate is the parts a second that the agent inspects.
func (r *Report) agentRate(ctx context.Context, o *Options, parallel int) (float64, error) {
	samples, err := lineRun(ctx, o, line{stations: o.Stations, mode: "continuous", parallel: parallel})
	if err != nil {
		return 0, err
	}
	for i := range samples {
		r.count(&samples[i])
	}
	span := samples[len(samples)-1].at.Sub(samples[0].at).Seconds()
	return float64(len(samples)-1) / span, nil
}

func (r *Report) count(s *sample) {
	r.Verdicts++
	if s.in.Verdict == "UNKNOWN" {
		r.Unknown++
	}
}
