package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/embedded"
)

// Options is what a person may change.
type Options struct {
	Parts       int           // 0: until stopped
	Interval    time.Duration // between triggers
	Deadline    time.Duration // trigger to verdict
	Began       time.Time     // of what came before this program, set-up and build; zero: nothing did
	FirstWithin time.Duration // from there to the first verdict at the PLC; 0: whenever it comes
	Seed        uint64        // of the simulated boards
	Defects     float64       // mean number on a board that has any
	Clean       float64       // share of boards without
	Bundle      string        // folder
	Finds       bool          // the bundle was trained on such boards: it finds half of the defects, or fails
	Out         string        // folder for pictures, logs and the configuration
	Live        bool          // redraw a terminal; else a line for each part
	Stdout      io.Writer
}

var (
	// ErrNumbers says that something was lost, duplicated or unanswered.
	ErrNumbers = errors.New("the numbers do not agree")
	// ErrUnknown says that too many parts ended UNKNOWN to show anything.
	ErrUnknown = errors.New("too many parts were not inspected")
	// ErrBlind says that a bundle which knows such boards found less than half of what was drawn.
	ErrBlind = errors.New("too few of the drawn defects were found")
	// ErrLate says that the first verdict came after Options.FirstWithin.
	ErrLate = errors.New("the first verdict came too late")
)

const (
	settleLimit = 15 * time.Second // for the last results to reach Kafka
	settling    = time.Second      // for what comes twice to come the second time
	longest     = 24 * time.Hour   // of set-up and build
	pollEvery   = 100 * time.Millisecond
	lineLog     = "line.log" // its presence also marks a folder as a demonstration's
)

// chain is everything of one demonstration.
type chain struct {
	options Options
	station topic.Station
	tally   *Tally
	before  time.Duration // from Options.Began to the start of this program
	places  places
	log     *slog.Logger
	logFile *os.File
	line    *embedded.Broker
	cloud   *process
	agent   *process
}

// Run plays the demonstration to its end and prints the closing line. The error says what did not agree.
func Run(ctx context.Context, o Options) (err error) {
	now := time.Now()
	before, err := o.before(now)
	if err != nil {
		return err
	}
	f := &chain{
		options: o, tally: NewTally(now.Add(-before)), before: before,
		station: topic.Station{Enterprise: "demo", Site: "laptop", Area: "smt", Line: "line1", Name: "aoi-1"},
	}
	defer func() { err = errors.Join(err, f.stop(), handBack(f.places.Folder)) }()
	if err := f.prepare(); err != nil {
		return err
	}
	if err := f.startServers(ctx); err != nil {
		return err
	}
	if err := f.startAgent(ctx); err != nil {
		return err
	}
	return f.play(ctx)
}

// before is how long before now set-up and build began.
func (o *Options) before(now time.Time) (time.Duration, error) {
	if o.Began.IsZero() {
		return 0, nil
	}
	before := now.Sub(o.Began)
	if before < 0 || before > longest {
		return 0, fmt.Errorf("set-up and build began at %s, which is not within the %s before now: say it "+
			"with --began in milliseconds since 1970, as date +%%s%%3N prints them",
			o.Began.UTC().Format(time.RFC3339), longest)
	}
	return before, nil
}

// play runs the line. PLC and consumer go on listening behind its end, until what they count has settled.
func (f *chain) play(ctx context.Context) error {
	show := plain{f.options.Stdout}.part
	if f.options.Live {
		show = func(Part) {} // the view redraws from the tally
	}
	controller := newPLC(f.station, f.tally, f.options.Deadline, f.log, show)
	if err := controller.connect(f.places.LineBroker); err != nil {
		return err
	}
	defer controller.close()
	always := context.WithoutCancel(ctx) // what is under way when the line is stopped is counted, too
	listening, stopListening := context.WithCancel(always)
	defer stopListening()
	consumed, heard := make(chan error, 1), make(chan error, 1)
	go func() { consumed <- consume(listening, f.places.Kafka, f.tally) }()
	ran := f.run(ctx, controller)
	go func() { heard <- controller.listen(listening) }()
	f.settle(always)
	stopListening()
	return errors.Join(ran, <-heard, <-consumed, f.conclude())
}

// prepare makes the folder. State of an earlier demonstration goes: it would be delivered into this one's
// count.
func (f *chain) prepare() error {
	var err error
	o := &f.options
	if o.Out, err = filepath.Abs(o.Out); err != nil {
		return fmt.Errorf("resolve folder: %w", err)
	}
	if o.Bundle, err = filepath.Abs(o.Bundle); err != nil {
		return fmt.Errorf("resolve bundle: %w", err)
	}
	if err = o.check(); err != nil {
		return err
	}
	f.places = places{
		Folder: o.Out, Evidence: filepath.Join(o.Out, "evidence"),
		CloudEvidence: filepath.Join(o.Out, "cloud-evidence"),
	}
	for _, dir := range []string{
		filepath.Join(o.Out, "state"), f.places.Evidence, f.places.CloudEvidence,
	} {
		if err = os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear folder: %w", err)
		}
	}
	if err = os.MkdirAll(f.places.Evidence, 0o750); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if f.logFile, err = os.Create(filepath.Join(o.Out, lineLog)); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	f.log = slog.New(slog.NewTextHandler(f.logFile, nil))
	return nil
}

// check refuses what cannot work. It is about to clear folders below Out, so it takes only one that is empty
// or that a demonstration made before.
func (o *Options) check() error {
	if o.Parts < 0 || o.Interval <= 0 || o.FirstWithin < 0 {
		return errors.New("the number of parts and the limit of the first verdict are not negative, " +
			"and the interval is more than 0")
	}
	if _, err := os.Stat(filepath.Join(o.Bundle, "bundle.yaml")); err != nil {
		return fmt.Errorf("there is no bundle in %s: name its folder with --bundle, or run this from the "+
			"repository's root", o.Bundle)
	}
	inside, err := os.ReadDir(o.Out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read folder: %w", err)
	}
	ours := func(e os.DirEntry) bool { return e.Name() == lineLog }
	if len(inside) > 0 && !slices.ContainsFunc(inside, ours) {
		return fmt.Errorf("%s holds files that are no demonstration's: name an empty folder with --out",
			o.Out)
	}
	return nil
}

// settle waits until Kafka holds what the PLC has, and from then on as long as a second verdict or record may
// take, or until its limit is over; the closing line tells what was counted.
func (f *chain) settle(ctx context.Context) {
	end := time.After(settleLimit)
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for agreed := false; ; {
		f.countVerdicts(ctx)
		if s := f.tally.Summarize(0); !agreed && s.Agree() {
			agreed, end = true, time.After(settling)
		}
		select {
		case <-end:
			return
		case <-ticker.C:
		}
	}
}

// conclude prints the closing lines.
func (f *chain) conclude() error {
	s := f.tally.Summarize(0)
	var remarks strings.Builder
	for _, remark := range []string{s.Unknown(), f.blind(&s)} {
		if remark != "" {
			remarks.WriteString(remark + "\n")
		}
	}
	_, _ = fmt.Fprintf(
		f.options.Stdout,
		"%s%s; trigger to verdict p50 %d ms, p99 %d ms; "+
			"%d false alarms on clean boards\n%spictures of what did not pass: %s\n%s\n",
		s.FirstVerdict(),
		f.share(&s),
		s.P50.Milliseconds(),
		s.P99.Milliseconds(),
		s.FalseAlarm,
		remarks.String(),
		f.places.Evidence,
		s.Line(),
	)
	var errs []error
	if late := f.options.FirstWithin; late > 0 && (s.PLC == 0 || s.First > late) {
		errs = append(errs, fmt.Errorf("%w: %s, not within %s", ErrLate, s.FirstVerdict(), late))
	}
	switch {
	case s.Parts == 0:
		errs = append(errs, fmt.Errorf("%w: no part was triggered, see the logs in %s", ErrNumbers,
			f.places.Folder))
	case !s.Agree():
		errs = append(errs, fmt.Errorf("%w: see the logs in %s", ErrNumbers, f.places.Folder))
	}
	if !s.Inspected() {
		errs = append(errs, fmt.Errorf("%w: %d of %d ended UNKNOWN, and %d %% may; give them more time with "+
			"--deadline, or see the logs in %s", ErrUnknown, s.Kinds[event.Unknown], s.PLC, mostUnknown,
			f.places.Folder))
	}
	if blind := f.blind(&s); blind != "" {
		errs = append(errs, fmt.Errorf("%w: %s", ErrBlind, blind))
	}
	return errors.Join(errs...)
}

// fewDrawn defects tell nothing of a bundle.
const fewDrawn = 4

// blind says that the bundle should have found more; it is empty when it need not have.
func (f *chain) blind(s *Summary) string {
	if !f.options.Finds || s.Drawn < fewDrawn || 2*s.Found >= s.Drawn {
		return ""
	}
	return fmt.Sprintf("%d of %d drawn defects found, and %s finds half of them at least: it is damaged, or "+
		"what runs it is; see the pictures, the logs in %s, and sightline-agent check",
		s.Found, s.Drawn, f.options.Bundle, f.places.Folder)
}

// share says how much of the time to the first verdict went by before this program.
func (f *chain) share(s *Summary) string {
	if f.options.Began.IsZero() || s.PLC == 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f s of it set-up and build", f.before.Seconds())
}

func (f *chain) stop() error {
	var errs []error
	for _, p := range []*process{f.agent, f.cloud} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if f.line != nil {
		errs = append(errs, f.line.Close())
	}
	if f.logFile != nil {
		errs = append(errs, f.logFile.Close())
	}
	return errors.Join(errs...)
}
