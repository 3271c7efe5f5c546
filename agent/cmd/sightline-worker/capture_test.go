//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// captures runs an order with what follows it on standard input, and returns the answers.
func captures(t *testing.T, o wire.CaptureOrder, more string) ([]wire.CapturedBoard, error) {
	t.Helper()
	order, err := json.Marshal(o)
	require.NoError(t, err)
	var out bytes.Buffer
	err = runCapture(io.MultiReader(bytes.NewReader(order), strings.NewReader(more)), &out, t.Output())
	var boards []wire.CapturedBoard
	for in := json.NewDecoder(&out); ; {
		var b wire.CapturedBoard
		if in.Decode(&b) != nil {
			return boards, err
		}
		boards = append(boards, b)
	}
}

func captureOf(t *testing.T) wire.CaptureOrder {
	t.Helper()
	return wire.CaptureOrder{
		Camera: "sim:?product=3&clean=1&width=128&height=128", Boards: 2, Binarize: "otsu", Wait: time.Minute,
		Picture: filepath.Join(t.TempDir(), "template.png"),
	}
}

func TestACaptureAnswersForEachBoardAndWritesThePicture(t *testing.T) {
	for _, more := range []string{"", "true true"} {
		o := captureOf(t)
		o.Ask = more != ""
		boards, err := captures(t, o, more)
		require.NoError(t, err)
		require.Len(t, boards, 2)
		require.True(t, boards[1].Fits)
		f, err := os.Open(o.Picture)
		require.NoError(t, err)
		picture, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, 128, picture.Bounds().Dx())
	}
}

func TestACaptureThatCannotBeSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.CaptureOrder)
		more   string
		says   string
	}{
		"binarize": {func(o *wire.CaptureOrder) { o.Binarize = "300" }, "", "not a way to binarize"},
		"gray": {
			func(o *wire.CaptureOrder) { o.Binarize = "" }, "", "a golden template is in black and white",
		},
		"no bundle": {func(o *wire.CaptureOrder) { o.Overlap = 96 }, "", "bundle"},
		"no pairs": {
			func(o *wire.CaptureOrder) { o.Overlap, o.Bundle = 96, "../../../models/pcb-defects" }, "",
			"takes no golden template",
		},
		"camera":      {func(o *wire.CaptureOrder) { o.Camera = "webcam:0" }, "", "camera"},
		"boards":      {func(o *wire.CaptureOrder) { o.Boards = 65 }, "", "take 1 to 64"},
		"nobody asks": {func(o *wire.CaptureOrder) { o.Ask = true }, "true", "wait for the next board"},
		"picture":     {func(o *wire.CaptureOrder) { o.Picture += "/t.png" }, "", "write the template"},
		"strangers": {
			func(o *wire.CaptureOrder) { o.Camera = "sim:?clean=1" }, "", "only 1 of 2 boards fit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := captureOf(t)
			c.change(&o)
			_, err := captures(t, o, c.more)
			require.ErrorContains(t, err, c.says)
			require.NoFileExists(t, o.Picture)
		})
	}
	require.ErrorContains(t, runCapture(strings.NewReader("sim:"), io.Discard, io.Discard),
		"read what to capture")
}

func TestSheetsAreCapturedInTiles(t *testing.T) {
	o := captureOf(t)
	o.Camera = "sim:?product=3&clean=1&width=900&height=700"
	o.Bundle, o.Overlap, o.Boards = "../../../models/pcb-defects-pair", 96, 3
	boards, err := captures(t, o, "")
	require.NoError(t, err)
	require.Len(t, boards, 3)
	require.True(t, boards[2].Fits, boards[2].Why)
	f, err := os.Open(o.Picture)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	size, err := png.DecodeConfig(f)
	require.NoError(t, err)
	require.Equal(t, [2]int{900, 700}, [2]int{size.Width, size.Height})
}
