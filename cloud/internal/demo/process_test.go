package demo

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// shell starts a script in the place of a program.
func shell(t *testing.T, script string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700))
	p, err := start(t.Context(), t.TempDir(), path)
	require.NoError(t, err)
	return p
}

func TestAProgramThatDoesNotStartSaysWhyInItsLastLine(t *testing.T) {
	p := shell(t, "echo first >&2; echo 'broken: mend it' >&2; exit 1\n")
	var into struct{}
	require.ErrorContains(t, p.firstLine(t.Context(), &into),
		"program did not start: broken: mend it (exit status 1, its log: /")
	require.NoError(t, p.stop(), "its end is told once")
}

func TestAProgramThatIsAskedToEndEndsWell(t *testing.T) {
	p := shell(t, "trap 'exit 0' TERM; echo '{}'; while :; do sleep 0.02; done\n")
	var into struct{}
	require.NoError(t, p.firstLine(t.Context(), &into))
	require.NoError(t, p.stop())
}

func TestAProgramThatDoesNotEndIsKilled(t *testing.T) {
	p := shell(t, "trap '' TERM; echo '{}'; while :; do sleep 0.02; done\n")
	p.cmd.WaitDelay = 50 * time.Millisecond
	var into struct{}
	require.NoError(t, p.firstLine(t.Context(), &into))
	require.ErrorContains(t, p.stop(), "killed")
}

func TestAStopWhileAProgramStartsDoesNotWaitForIt(t *testing.T) {
	p := shell(t, "exec sleep 60\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var into struct{}
	require.ErrorIs(t, p.firstLine(ctx, &into), context.Canceled)
	require.NoError(t, p.stop())
}

func TestAFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	out := t.TempDir()
	theirs := filepath.Join(out, "state", "valuable")
	require.NoError(t, os.MkdirAll(filepath.Dir(theirs), 0o700))
	require.NoError(t, os.WriteFile(theirs, nil, 0o600))
	o := Options{Out: out, Bundle: "../../../models/pcb-defects", Interval: time.Second, Stdout: io.Discard}
	require.ErrorContains(t, Run(t.Context(), o), "name an empty folder with --out")
	require.FileExists(t, theirs)
}

func TestWrongUseIsRefusedBeforeAnythingStarts(t *testing.T) {
	good := Options{Bundle: "../../../models/pcb-defects", Interval: time.Second, Stdout: io.Discard}
	for want, spoil := range map[string]func(o *Options){
		"not negative":          func(o *Options) { o.Parts = -1 },
		"more than 0":           func(o *Options) { o.Interval = 0 },
		"first verdict are not": func(o *Options) { o.FirstWithin = -1 },
		"name its folder with ": func(o *Options) { o.Bundle = "/nowhere" },
	} {
		o := good
		o.Out = filepath.Join(t.TempDir(), "out")
		spoil(&o)
		require.ErrorContains(t, Run(t.Context(), o), want)
		require.NoDirExists(t, o.Out)
	}
}
