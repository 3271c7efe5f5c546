//go:build cgo

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sightline-edge/sightline/agent/internal/worker"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // the supervisor starts another worker
	exitUsage  = 2
)

type settings struct {
	socket      string
	logLevel    slog.Level
	logJSON     bool
	memoryLimit uint64
	trial       bool
	version     bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	format := ""
	flags := flag.NewFlagSet("sightline-worker", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.socket, "socket", "", "Unix socket to connect to; default: the inherited descriptor 3")
	flags.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.StringVar(&format, "log-format", "text", "text or json")
	flags.Uint64Var(&s.memoryLimit, "memory-limit", 0, "address space in bytes, for a bundle "+
		"that nobody trusts yet; 0: none")
	flags.BoolVar(&s.trial, "trial", false, "end first when memory runs out: a bundle is only tried")
	flags.BoolVar(&s.version, "version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 || format != "text" && format != "json" {
		return s, fmt.Errorf("unknown arguments %q or log format %q: see --help", flags.Args(), format)
	}
	s.logJSON = format == "json"
	return s, nil
}

// tools are what the agent's commands need drivers for, beside a running line.
func tools() map[string]func(args []string, stdout, stderr io.Writer) error {
	return map[string]func(args []string, stdout, stderr io.Writer) error{
		"bare":    runBare,
		"cameras": func(_ []string, stdout, _ io.Writer) error { return checkCameras(os.Stdin, stdout) },
		"capture": func(_ []string, out, errs io.Writer) error { return runCapture(os.Stdin, out, errs) },
		"parity":  func(_ []string, out, errs io.Writer) error { return runParity(os.Stdin, out, errs) },
		"preview": func(_ []string, stdout, _ io.Writer) error { return runPreview(os.Stdin, stdout) },
	}
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if tool, ok := tools()[args[0]]; ok {
			if err := tool(args[1:], stdout, stderr); err != nil {
				fmt.Fprintf(stderr, "sightline-worker %s: %v\n", args[0], err)
				return exitFailed
			}
			return exitDone
		}
	}
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintln(stderr, "sightline-worker:", err)
		return exitUsage
	}
	if s.version {
		fmt.Fprintln(stdout, "sightline-worker", version, "OpenCV", openCVVersion())
		return exitDone
	}
	if err := serve(s, logger(s, stderr)); err != nil {
		fmt.Fprintln(stderr, "sightline-worker:", err)
		return exitFailed
	}
	return exitDone
}

func logger(s settings, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.logLevel}
	if s.logJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func serve(s settings, log *slog.Logger) error {
	if err := confine(s.memoryLimit); err != nil {
		return err
	}
	if err := goFirst(s.trial); err != nil { // a sandbox without /proc: it runs as well
		log.Warn("the kernel may end the agent before this worker when memory runs out", "error", err)
	}
	if err := tameOpenCV(); err != nil {
		return err
	}
	conn, err := connect(s.socket)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return worker.Run(ctx, conn, worker.Options{
		Version: version, OpenCV: openCVVersion(), Log: log,
		Runtime: func(path string) (worker.Runtime, error) { return loadLibrary(path, log) },
	})
}
