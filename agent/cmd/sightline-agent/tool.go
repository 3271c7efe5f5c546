package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sightline-edge/sightline/agent/internal/vision"
)

// tool is what the commands share that use a worker without a line: check, eval, bench, replay, sheet,
// template.
type tool struct {
	logging *logging
	output  string
	worker  string
	library string
	threads int
}

func (t *tool) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&t.output, "output", "o", "table", "table or json")
	f.StringVar(
		&t.worker,
		"worker",
		"",
		"sightline-worker to use; default: beside this program, then in PATH",
	)
	f.StringVar(&t.library, "onnxruntime", os.Getenv("SIGHTLINE_ONNXRUNTIME"), "libonnxruntime.so")
	f.IntVar(&t.threads, "threads", runtime.GOMAXPROCS(0), "of one inference")
}

func (t *tool) check() error {
	if t.output != "table" && t.output != "json" {
		return fmt.Errorf("output %q is neither table nor json", t.output)
	}
	if t.threads < 1 {
		return fmt.Errorf("%d threads: at least one", t.threads)
	}
	return nil
}

// quiet logs warnings and errors only, unless the person asked for more.
func (t *tool) quiet(c *cobra.Command) (*slog.Logger, error) {
	if !c.Flags().Changed("log-level") {
		t.logging.level = slog.LevelWarn
	}
	return t.logging.logger(c)
}

func (t *tool) launch(
	log *slog.Logger,
	args ...string,
) (func(context.Context) (vision.Process, error), error) {
	path, err := vision.Find(t.worker)
	if err != nil {
		return nil, err
	}
	return vision.Executable(path, append([]string{"--log-format", "json"}, args...), log), nil
}

// print writes the value as JSON, or lets table write it.
func (t *tool) print(out io.Writer, value any, table func(*tabwriter.Writer)) error {
	if t.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// bar returns a progress function that draws on a terminal and says nothing elsewhere.
func bar(c *cobra.Command, what string) func(done, total int) {
	file, ok := c.ErrOrStderr().(*os.File)
	if !ok || !terminal(c) {
		return func(int, int) {}
	}
	var drawn *progressbar.ProgressBar
	return func(done, total int) {
		if drawn == nil {
			drawn = progressbar.NewOptions(
				total,
				progressbar.OptionSetWriter(file),
				progressbar.OptionShowCount(),
				progressbar.OptionSetDescription(what),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
			)
		}
		_ = drawn.Set(done) // a bar that cannot be drawn is no reason to stop
	}
}

// terminal says whether a person watches the command's standard error.
func terminal(c *cobra.Command) bool {
	file, ok := c.ErrOrStderr().(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

var errFound = errors.New("see above")
