// Command archtest proves that imports run the way docs/architecture.md draws them. It reads the
// packages of the module and all that they import from go list, with cgo and the worker's build tags on,
// so that the widest build is judged, and compares them with the rules in rules.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ".", os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "archtest:", err)
		os.Exit(1)
	}
}

// run judges the module in dir and writes what it found to out.
func run(ctx context.Context, dir string, out io.Writer) error {
	g, err := list(ctx, dir)
	if err != nil {
		return err
	}
	found := judge(g, architecture())
	for _, v := range found {
		fmt.Fprintln(out, v)
	}
	if len(found) > 0 {
		return fmt.Errorf("%d imports run against the architecture", len(found))
	}
	fmt.Fprintf(out, "archtest: %d packages keep %d rules\n", len(g.own()), len(architecture()))
	return nil
}
