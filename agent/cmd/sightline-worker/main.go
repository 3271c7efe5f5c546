//go:build cgo

// Command sightline-worker holds the cameras and the inference of a node, for the agent that starts it.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
