//go:build cgo

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

const bareWarmup = 5

// bare is a loop of nothing but the model, for `sightline-agent bench`.
type bare struct {
	bundle, library string
	threads, runs   int
	parallel        int
	spinning        string
}

func runBare(args []string, stdout, stderr io.Writer) error {
	var b bare
	flags := flag.NewFlagSet("sightline-worker bare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&b.bundle, "bundle", "", "folder of the bundle")
	flags.StringVar(&b.library, "onnxruntime", "", "libonnxruntime.so")
	flags.IntVar(&b.threads, "threads", 0, "of all runs together; 0: one per core")
	flags.IntVar(&b.runs, "runs", 100, "how many")
	flags.IntVar(&b.parallel, "parallel", 1, "sessions that run side by side and share the threads")
	flags.StringVar(&b.spinning, "spinning", infer.SpinAlways, "when threads wait busily: run, always, never")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.parallel < 1 || b.runs < b.parallel {
		return fmt.Errorf("%d runs of %d sessions: at least one of each", b.runs, b.parallel)
	}
	if b.threads <= 0 {
		b.threads = runtime.GOMAXPROCS(0)
	}
	return b.loop(stdout, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
}

func (b *bare) loop(stdout io.Writer, log *slog.Logger) (err error) {
	model, err := bundle.Load(b.bundle)
	if err != nil {
		return err
	}
	library, err := loadLibrary(b.library, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, library.Close()) }()
	threads := max(b.threads/b.parallel, 1)
	loader := infer.Loader{Runtime: library, Threads: threads, Spinning: b.spinning, Log: log}
	var sessions []*infer.Session
	defer func() {
		for _, s := range sessions {
			err = errors.Join(err, s.Close())
		}
	}()
	for range b.parallel {
		s, err := loader.Load(model, "")
		if err != nil {
			return err
		}
		sessions = append(sessions, s)
	}
	if err := side(sessions, bareWarmup); err != nil {
		return err
	}
	start := time.Now()
	if err := side(sessions, b.runs/b.parallel); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(map[string]int64{
		"total_ns": time.Since(start).Nanoseconds(), "runs": int64(b.runs / b.parallel * b.parallel),
	})
}

// side runs each session so many times, all side by side.
func side(sessions []*infer.Session, runs int) error {
	var group errgroup.Group
	for _, s := range sessions {
		group.Go(func() error {
			for range runs {
				if err := s.RunBare(); err != nil {
					return fmt.Errorf("run: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
