// Package line_test shows the whole chain at work: the real agent with its real worker and ONNX Runtime on
// real boards, between a real mosquitto on the line and another in the cloud, the real bridge, and a real
// Apache Kafka.
package line_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// programs is the folder of the binaries built for this run.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(withPrograms{m})
}

// withPrograms builds the programs, runs the tests and removes what it built.
type withPrograms struct{ tests *testing.M }

func (w withPrograms) Run() int {
	m := w.tests
	if testing.Short() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sightline-line-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = dir
	err = errors.Join(
		build("agent/cmd/sightline-agent", static),
		build("cloud/cmd/sightline-cloud", static),
		build("agent/cmd/sightline-worker", withC),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

const (
	static = "CGO_ENABLED=0"
	withC  = "CGO_ENABLED=1"
)

// build makes a program as it is shipped, or, when the tests look for races, one that does so, too: that
// takes C.
func build(program, env string) error {
	command := exec.Command("go", "build", "-o", programs+"/")
	if racing {
		command.Args, env = append(command.Args, "-race"), withC
	}
	command.Args = append(command.Args, "./"+program)
	command.Dir = filepath.Join("..", "..", "..")
	command.Env = append(os.Environ(), env)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (. build/env.sh after make setup): %w\n%s", program, err, out)
	}
	return nil
}
