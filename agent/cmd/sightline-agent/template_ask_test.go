package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// heard calls back once a text was written to it.
type heard struct {
	text bytes.Buffer
	word string
	then func()
}

func (h *heard) Write(p []byte) (int, error) {
	n, err := h.text.Write(p)
	if h.then != nil && bytes.Contains(h.text.Bytes(), []byte(h.word)) {
		h.then()
		h.then = nil
	}
	return n, err
}

// A person who leaves and a worker that dies are both noticed while the other one is waited for: nobody
// presses Enter here.
func TestACaptureEndsWhileItWaitsForEnter(t *testing.T) {
	t.Setenv(asWorker, "1")
	path, templates := comparing(t)
	for camera, says := range map[string]string{
		"sim:":         "stopped after 0 of 2 boards: no template is made",
		"sim:?wrong=1": "capture: see the worker's words above: exit status 1",
	} {
		ctx, stop := context.WithCancel(t.Context())
		stdin, person := io.Pipe()
		beside := &heard{}
		if camera == "sim:" {
			beside.word, beside.then = "put board 1 of 2 in place and press Enter ", stop
		}
		c := root()
		c.SetArgs([]string{
			"template", "capture", path, "--worker", os.Args[0], "--boards", "2", "--ask", "--camera", camera,
		})
		c.SetIn(stdin)
		c.SetOut(io.Discard)
		c.SetErr(beside)
		require.EqualError(t, c.ExecuteContext(ctx), says)
		stop()
		require.NoError(t, person.Close())
		require.NoDirExists(t, templates)
	}
}
