//go:build cgo

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/ort"
	"github.com/sightline-edge/sightline/models/bundle"
)

const bareWarmup = 5

// bare is a loop of nothing but the model, for `sightline-agent bench`.
type bare struct {
	bundle, library string
	threads, runs   int
	spinning        bool
}

func runBare(args []string, stdout, stderr io.Writer) error {
	var b bare
	flags := flag.NewFlagSet("sightline-worker bare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&b.bundle, "bundle", "", "folder of the bundle")
	flags.StringVar(&b.library, "onnxruntime", "", "libonnxruntime.so")
	flags.IntVar(&b.threads, "threads", 0, "of one run; 0: one per core")
	flags.IntVar(&b.runs, "runs", 100, "how many")
	flags.BoolVar(&b.spinning, "spinning", true, "ONNX Runtime's own default: threads spin between runs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.runs < 1 {
		return fmt.Errorf("%d runs: at least one", b.runs)
	}
	return b.loop(stdout, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
}

func (b *bare) loop(stdout io.Writer, log *slog.Logger) (err error) {
	model, err := bundle.Load(b.bundle)
	if err != nil {
		return err
	}
	runtime, err := ort.Load(b.library)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.Close()) }()
	loader := infer.Loader{Runtime: runtime, Threads: b.threads, Spinning: b.spinning, Log: log}
	session, err := loader.Load(model, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	for range bareWarmup {
		if err := session.RunBare(); err != nil {
			return fmt.Errorf("run: %w", err)
		}
	}
	start := time.Now()
	for range b.runs {
		if err := session.RunBare(); err != nil {
			return fmt.Errorf("run: %w", err)
		}
	}
	return json.NewEncoder(stdout).Encode(map[string]int64{
		"total_ns": time.Since(start).Nanoseconds(), "runs": int64(b.runs),
	})
}
