// Command sightline-cloud is the cloud's side: the bridge from MQTT to Kafka, a watcher, and a demonstration
// of both.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var version = "unknown" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sightline-cloud:", err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}
