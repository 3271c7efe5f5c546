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
	way := bundle.Preprocess{Binarize: o.Binarize}
	if _, _, err := way.Binary(); err != nil {
		return err
	}
	cam, err := camera.Start(ctx, o.Camera, camera.Options{
		OpenTimeout: o.Wait, ReadTimeout: o.Wait, Frames: 2,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = cam.Close() }()
	options := capture.Options{Camera: cam, Plan: tensor.Native(way), Boards: o.Boards, Wait: o.Wait}
	var answer error
	options.Taken = func(_ int, b wire.CapturedBoard) { answer = out.Encode(b) }
	options.Ready = func(int) error {
		var next any
		if answer == nil && o.Ask {
			answer = in.Decode(&next)
		}
		if answer != nil {
			return fmt.Errorf("wait for the next board to be in place: %w", answer)
		}
		return nil
	}
	t, err := capture.Run(ctx, options)
	if err != nil {
		return err
	}
	return savePicture(o.Picture, t)
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
