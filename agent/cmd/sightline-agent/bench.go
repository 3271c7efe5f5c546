package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/bench"
	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/models/bundle"
)

func benchCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	var o bench.Options
	var dir string
	var limits bool
	var save string
	c := &cobra.Command{
		Use:   "bench [--bundle DIR]",
		Short: "Measure the agent's own time and its throughput beside a bare model loop",
		Long: "Runs the real agent and worker on frames in memory and measures, as a subscriber of the\n" +
			"result topic: the time from a frame in memory to its result, less the model's own run;\n" +
			"and the parts a second beside a loop of nothing but the model with the same library and\n" +
			"threads, in alternating rounds.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.bench(c, o, dir, save, limits)
		},
	}
	c.AddCommand(stopwatchCommand())
	t.flags(c)
	f := c.Flags()
	f.StringVar(&dir, "bundle", "models/pcb-defects", "folder of the bundle")
	f.StringVar(
		&o.Camera,
		"camera",
		"sim:?width=1920&height=1080&zoom=3&color=true&prerender=20&seed=11&clean=1",
		"source URI of the frames",
	)
	f.StringVar(&o.Broker, "broker", "", "MQTT broker; default: a mosquitto of its own on loopback")
	f.IntVar(&o.Parts, "parts", 300, "to measure latency with, and in each round of throughput")
	f.IntVar(&o.Rounds, "rounds", 5, "of throughput, bare loop and agent in turn; 0: latency only")
	f.IntVar(&o.Parallel, "parallel", 0, "runs side by side in rounds of throughput; 0: one for each thread")
	f.IntVar(&o.Stations, "stations", 1, "that share the model in rounds of throughput")
	f.StringVar(&save, "json", "", "file to write the report to, as JSON")
	f.BoolVar(&limits, "limits", false, "exit with an error when a figure is outside its limit")
	return c
}

func (t *tool) bench(c *cobra.Command, o bench.Options, dir, save string, limits bool) error {
	if err := t.check(); err != nil {
		return err
	}
	log, err := t.quiet(c)
	if err != nil {
		return err
	}
	if o.Bundle, err = bundle.Load(dir); err != nil {
		return err
	}
	if o.Worker, err = vision.Find(t.worker); err != nil {
		return err
	}
	if o.Agent, err = os.Executable(); err != nil {
		return fmt.Errorf("find own path: %w", err)
	}
	latency, throughput := bar(c, "latency"), bar(c, "throughput")
	o.ONNXRuntime, o.Threads, o.Log = t.library, t.threads, log
	if o.Parallel == 0 {
		o.Parallel = o.Threads
	}
	o.Progress = func(step string, done, total int) {
		if step == "latency" {
			latency(done, total)
			return
		}
		throughput(done, total)
	}
	report, err := bench.Run(c.Context(), o)
	if err != nil {
		return err
	}
	if err = t.print(
		c.OutOrStdout(),
		report,
		func(w *tabwriter.Writer) { benchTable(w, report) },
	); err != nil {
		return err
	}
	if err = saveJSON(save, report); err != nil {
		return err
	}
	if limits {
		return report.Check()
	}
	return nil
}

// saveJSON writes the report for a machine to read, beside the table for a person.
func saveJSON(path string, report *bench.Report) error {
	if path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	return fsutil.WriteFile(fsutil.OS{}, path, append(raw, '\n'), 0o600)
}

func benchTable(w *tabwriter.Writer, r *bench.Report) {
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format+"\n", values...) }
	row("figure\tmeasured\tlimit")
	row("beyond the model, p50\t%.2f ms\t%.1f ms", r.BeyondModelP50, bench.LimitP50)
	row("beyond the model, p99\t%.2f ms\t%.1f ms", r.BeyondModelP99, bench.LimitP99)
	if r.Rounds > 0 {
		row("agent over a bare loop\t%.3f\t%.2f", r.Throughput, bench.LimitThroughput)
		for _, way := range []struct {
			name string
			rate bench.Rate
		}{
			{fmt.Sprintf("both one run on %d threads", r.Threads), r.Single},
			{fmt.Sprintf("both %d runs side by side", r.Parallel), r.SideBySide},
		} {
			row("  %s: agent, bare loop\t%.1f, %.1f a second: %.3f\t", way.name, way.rate.AgentFPS,
				way.rate.BareFPS, way.rate.Ratio)
		}
	}
	row(
		"  preprocess, decode, deliver p50\t%.2f, %.2f, %.2f ms\t",
		r.PreprocessP50,
		r.DecodeP50,
		r.DeliverP50,
	)
	row("  model p50, p99\t%.1f, %.1f ms\t", r.ModelP50, r.ModelP99)
	row("parts, of them UNKNOWN\t%d, %d\t0", r.Verdicts, r.Unknown)
}
