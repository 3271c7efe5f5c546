//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera"
	"github.com/sightline-edge/sightline/agent/internal/worker/capture"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

func runCapture(stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := tameOpenCV(); err != nil {
		return err
	}
	in, out := json.NewDecoder(stdin), json.NewEncoder(stdout)
	var o wire.CaptureOrder
	if err := in.Decode(&o); err != nil {
		return fmt.Errorf("read what to capture: %w", err)
	}
	plan, err := capturePlan(&o)
	if err != nil {
		return err
	}
	cam, err := camera.Start(ctx, o.Camera, camera.Options{
		OpenTimeout: o.Wait, ReadTimeout: o.Wait, Frames: 2, Gray: o.Overlap > 0,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = cam.Close() }()
	options := capture.Options{Camera: cam, Plan: plan, Overlap: o.Overlap, Boards: o.Boards, Wait: o.Wait}
	options.Taken = func(_ int, b wire.CapturedBoard) error {
		if broken := out.Encode(b); broken != nil {
			return fmt.Errorf("say what became of a board: %w", broken)
		}
		return nil
	}
	if o.Ask { // else a camera with a rate of its own may bring what it has
		options.Ready = func(int) error {
			var next any
			if broken := in.Decode(&next); broken != nil {
				return fmt.Errorf("wait for the next board to be in place: %w", broken)
			}
			return nil
		}
	}
	t, err := capture.Run(ctx, options)
	if err != nil {
		return err
	}
	return savePicture(o.Picture, t)
}

// capturePlan is how boards are seen: as they are, or in tiles, as the station sees them.
func capturePlan(o *wire.CaptureOrder) (*tensor.Plan, error) {
	way := bundle.Preprocess{Binarize: o.Binarize}
	binary, _, err := way.Binary()
	switch {
	case err != nil:
		return nil, err
	case !binary:
		return nil, fmt.Errorf("%w: none is named, and a golden template is in black and white",
			bundle.ErrBinarize)
	case o.Overlap == 0:
		return tensor.Native(way), nil
	}
	b, err := bundle.Load(o.Bundle)
	if err != nil {
		return nil, err
	}
	if !b.Manifest.Input.Template {
		return nil, fmt.Errorf("bundle %s takes no golden template: leave overlap out", b.Manifest.Name)
	}
	return tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess).Unscaled().Binarized(way), nil
}

func savePicture(path string, t *capture.Template) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the template: %w", err)
	}
	if err := png.Encode(f, t.Picture); err != nil {
		_ = f.Close() // the first error counts
		return fmt.Errorf("write the template: %w", err)
	}
	return f.Close()
}
