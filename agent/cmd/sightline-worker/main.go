//go:build cgo

// Command sightline-worker holds the cameras and the inference of a node, for the agent that starts it.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := forbidCoreDumps(); err != nil {
		fmt.Fprintln(os.Stderr, "sightline-worker:", err)
		os.Exit(exitFailed)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
