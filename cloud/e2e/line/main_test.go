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
)

// programs is the folder of the binaries built for this run.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m)) //nolint:forbidigo // TestMain is a main
}

func run(m *testing.M) int {
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
		build(
			"agent/cmd/sightline-agent",
			"CGO_ENABLED=0",
		),
		build("cloud/cmd/sightline-cloud", "CGO_ENABLED=0"),
		build("agent/cmd/sightline-worker", "CGO_ENABLED=1"),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(program, env string) error {
	command := exec.Command("go", "build", "-o", programs+"/", "./"+program)
	command.Dir = filepath.Join("..", "..", "..")
	command.Env = append(os.Environ(), env)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s (. build/env.sh after make setup): %w\n%s", program, err, out)
	}
	return nil
}
