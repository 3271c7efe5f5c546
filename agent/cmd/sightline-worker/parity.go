//go:build cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

// runParity reads a wire.ParityOrder and writes the wire.Parity of the bundle that it names.
func runParity(stdin io.Reader, stdout, stderr io.Writer) (err error) {
	var order wire.ParityOrder
	if err = json.NewDecoder(stdin).Decode(&order); err != nil {
		return fmt.Errorf("read what to compare: %w", err)
	}
	if err = confine(order.MemoryLimit); err != nil {
		return err
	}
	b, err := bundle.Load(order.Bundle)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	library, err := loadLibrary(order.Library, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, library.Close()) }()
	loader := infer.Loader{Runtime: library, Threads: order.Threads, Spinning: infer.SpinRun, Log: log}
	found, err := loader.Parity(b, order.Policy)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(found)
}
