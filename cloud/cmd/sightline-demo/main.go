// Command sightline-demo shows the whole chain on one machine, with nothing to configure.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sightline-edge/sightline/cloud/internal/demo"
)

// reference is the bundle that was trained on boards like the simulated ones.
const reference = "models/pcb-defects"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sightline-demo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := demo.Options{Stdout: os.Stdout}
	lines := false
	var began int64
	c := &cobra.Command{
		Use:   "sightline-demo",
		Short: "Run a simulated line, PLC, agent, bridge and Kafka consumer on this machine",
		Long: "Runs a simulated line and PLC, the real agent with its real worker and ONNX Runtime, the\n" +
			"bridge, and a Kafka consumer, on embedded servers that are for demonstration. Pictures\n" +
			"of what did not pass, logs and the configuration stay in --out. The exit status is 0\n" +
			"only when every part has one verdict everywhere, no more than 5 % of them are UNKNOWN, the\n" +
			"first came within --first-within, counted from --began, and the reference bundle has found\n" +
			"half of the drawn defects. A duplicate is told from a new part among the last 10,000\n" +
			"parts, and waited for a second behind the last verdict; those parts give p50 and p99, too.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("began") {
				o.Began = time.UnixMilli(began)
			}
			o.Finds = filepath.Clean(o.Bundle) == reference
			o.Live = !lines && term.IsTerminal(int(os.Stdout.Fd()))
			return demo.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Parts, "parts", 0, "stop after so many parts; 0: run until Ctrl-C")
	f.DurationVar(&o.Interval, "interval", 250*time.Millisecond, "time from one trigger to the next")
	f.DurationVar(
		&o.Deadline,
		"deadline",
		time.Second,
		"trigger to verdict; a part without answer is then UNKNOWN",
	)
	f.Int64Var(
		&began,
		"began",
		0,
		"when set-up and build began, in milliseconds since 1970; left out: this program is the start",
	)
	f.DurationVar(
		&o.FirstWithin,
		"first-within",
		0,
		"fail when the first verdict comes later than this after the start; 0: whenever it comes",
	)
	f.Uint64Var(&o.Seed, "seed", 1, "of the simulated boards: the same seed shows the same boards")
	f.Float64Var(&o.Defects, "defects", 2, "mean number of defects on a board that has any")
	f.Float64Var(&o.Clean, "clean", 0.5, "share of boards without a defect")
	f.StringVar(&o.Bundle, "bundle", reference, "folder of the model bundle")
	f.StringVar(&o.Out, "out", "demo-out", "folder for pictures, logs and configuration")
	f.BoolVar(&lines, "lines", false, "print a line for each part even on a terminal")
	return c
}
