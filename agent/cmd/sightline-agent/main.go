// Command sightline-agent runs on each node: the supervisor that gives each part its verdict.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sightline-agent:", err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}
