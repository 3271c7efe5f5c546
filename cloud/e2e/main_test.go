// Package e2e shows the cloud's programs at work between real servers.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var program string // sightline-cloud, built for this run

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(withProgram{m})
}

// withProgram builds the program, runs the tests and removes what it built.
type withProgram struct{ tests *testing.M }

func (w withProgram) Run() int {
	m := w.tests
	if testing.Short() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sightline-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "sightline-cloud")
	build := exec.Command("go", "build", "-o", program, "../cmd/sightline-cloud")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sightline-cloud: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
