package main

import (
	"bytes"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// program writes a script that stands for the agent or for the worker.
func program(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	script := "#!/bin/sh\n" + strings.Join(lines, "\n") + "\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

// loop is a worker whose model takes 25 ms.
func loop(t *testing.T) string {
	t.Helper()
	return program(t, `[ "$1 $2 $3 $6 $7" = "bare --bundle boards --threads 2" ] || exit 3`,
		`echo '{"total_ns": 500000000, "runs": 20}'`)
}

func TestArgumentsAreChecked(t *testing.T) {
	var said bytes.Buffer
	require.ErrorContains(t, run([]string{"surplus"}, &said, &said), "unexpected argument")
	require.ErrorContains(t, run([]string{"-side", "10", "-out", t.TempDir()}, &said, &said), "width is 10")
	require.ErrorContains(t, run([]string{"-defects", "0"}, &said, &said), "nothing to judge")
}

func TestTheReasonOfASheetThatWasNotInspectedIsTold(t *testing.T) {
	var said bytes.Buffer
	for says, lines := range map[string][]string{
		"image 2 was not inspected: it is truncated": {
			`echo '{"sheets": [{}, {"reason": "it is truncated"}]}'`, "exit 1",
		},
		"sheet]: exit status 4":    {"exit 4"},
		"read the agent's report:": {"echo none"},
		"reports 1 of 2 images":    {`echo '{"sheets": [{}]}'`},
	} {
		s := settings{agent: program(t, lines...)}
		_, err := s.inspect(&said, "", "a.jpg", "b.jpg")
		require.ErrorContains(t, err, says)
	}
}

func TestTheModelAloneIsALoopOfTheWorkersOwn(t *testing.T) {
	s := settings{worker: loop(t), bundle: "boards", threads: 2}
	ms, err := s.bare()
	require.NoError(t, err)
	require.InDelta(t, 25, ms, 1e-9)
	for says, line := range map[string]string{
		"bare loop: exit status 3":       "exit 3",
		`bare loop: no figures in "none`: "echo none",
		"took 0 ns for 0 runs":           "echo '{}'",
	} {
		s.worker = program(t, line)
		_, err := s.bare()
		require.ErrorContains(t, err, says)
	}
}

// The agent finds nothing here: each defect is shown to it again, beside its own part of the template.
func TestASheetIsJudgedBesideItsTemplate(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	agent := program(t, fmt.Sprintf(`echo "$@" >>%q`, asked), `echo '{"tile": [640, 640], "overlap": 96,`,
		`"sheets": [{"tiles": 4, "inspection_ms": 150, "model_ms": 100}]}'`)
	var out, said bytes.Buffer
	err := run([]string{
		"-side", "700", "-defects", "12", "-out", dir, "-agent", agent, "-worker", loop(t),
		"-bundle", "boards", "-threads", "2", "-template",
	}, &out, &said)
	require.ErrorContains(t, err, "ratio of times")
	require.ErrorContains(t, err, "are not found once")
	require.Contains(t, out.String(), "ratio              1.500 (bar 1.1)")
	raw, err := os.ReadFile(asked)
	require.NoError(t, err)
	runs := strings.Split(strings.TrimSpace(string(raw)), "\n")
	require.Greater(t, len(runs), 5)
	require.Contains(t, runs[0], "--template "+filepath.Join(dir, "template.jpg")+" "+
		filepath.Join(dir, "sheet.jpg"))
	for _, line := range runs[1:] {
		require.Regexp(t, `--template \S+/again-(\d{4})-template\.png \S+/again-\d{4}\.png$`, line)
	}
	for _, name := range []string{"again-0000.png", "again-0000-template.png"} {
		require.Equal(t, image.Pt(640, 640), size(t, filepath.Join(dir, name)))
	}
}

func size(t *testing.T, name string) image.Point {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	c, _, err := image.DecodeConfig(f)
	require.NoError(t, err)
	return image.Pt(c.Width, c.Height)
}
