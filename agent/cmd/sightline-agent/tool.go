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

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/models/bundle"
)

const asJSON = "json" // of --output

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
	if t.output != "table" && t.output != asJSON {
		return fmt.Errorf("output %q is neither table nor json", t.output)
	}
	if t.threads < 1 {
		return fmt.Errorf("%d threads: at least one", t.threads)
	}
	return nil
}

// adopt takes of a configuration what the flags of every tool say of its worker, where no flag was given.
func (t *tool) adopt(c *cobra.Command, cfg *config.Loaded) {
	w := &cfg.Worker
	if !c.Flags().Changed("onnxruntime") { // $SIGHTLINE_ONNXRUNTIME counts less than the file
		t.library = w.ONNXRuntime
	}
	if t.worker == "" {
		t.worker = w.Path
	}
	if w.Threads != 0 && !c.Flags().Changed("threads") && !cfg.Faulty("worker.threads") {
		t.threads = w.Threads
	}
}

// checkBinarize says what to write instead of a way to binarize that a flag names wrongly.
func checkBinarize(way string) error {
	if _, _, err := (bundle.Preprocess{Binarize: way}).Binary(); err != nil {
		return fmt.Errorf("--binarize: %w; write otsu, or a threshold from 1 to 255", err)
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
	if t.output == asJSON {
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

// loading returns what shows on a terminal how long a worker has been loading, in one line that it takes
// back; nil elsewhere.
func loading(c *cobra.Command, what string) func(elapsed time.Duration) {
	if !terminal(c) {
		return nil
	}
	return showLoading(c.ErrOrStderr(), what)
}

func showLoading(w io.Writer, what string) func(elapsed time.Duration) {
	const erase = "\r\x1b[K" // the line, whatever its length
	return func(elapsed time.Duration) {
		if elapsed == 0 {
			_, _ = fmt.Fprint(w, erase)
			return
		}
		_, _ = fmt.Fprintf(w, erase+"loading %s: %.0f s", what, elapsed.Seconds())
	}
}

// terminal says whether a person watches the command's standard error.
func terminal(c *cobra.Command) bool {
	file, ok := c.ErrOrStderr().(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

var errFound = errors.New("see above")
