package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/config"
)

func runCommand(l *logging) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "run CONFIGURATION",
		Short: "Inspect until stopped by SIGINT or SIGTERM; SIGHUP has the configuration read again",
		Long: `Inspect until stopped by SIGINT or SIGTERM.

SIGHUP has the configuration read again. Another bundle, method, template, recipe or other verdict rules
of a station are tried in a process of their own, loaded beside what inspects, and take over between two
parts; what fails is refused, and everything goes on as it was. Other keys need a restart.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != asJSON {
				return fmt.Errorf("output %q is neither text nor json", output)
			}
			log, err := l.logger(c)
			if err != nil {
				return err
			}
			cfg, err := config.Load(args[0])
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			return app.Run(ctx, app.Options{
				Config: cfg, Log: log, Reload: reloads(ctx, args[0], log),
				Started: func(health string) { announce(c, output, health, log) },
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text",
		"text or json; json: print a line with the address of health once everything runs")
	return c
}

// reloads reads the configuration at each SIGHUP.
func reloads(ctx context.Context, path string, log *slog.Logger) <-chan *config.Loaded {
	asked, read := make(chan os.Signal, 1), make(chan *config.Loaded)
	signal.Notify(asked, syscall.SIGHUP) // to the end: a hang-up while results go out ends nothing
	go func() {
		for {
			select {
			case <-asked:
			case <-ctx.Done():
				return
			}
			cfg, err := config.Load(path)
			if err != nil {
				log.ErrorContext(ctx, "configuration not taken: everything goes on as it was", "error", err)
				continue
			}
			select {
			case read <- cfg:
			case <-ctx.Done():
				return
			}
		}
	}()
	return read
}

// announce tells a parent process where to ask.
func announce(c *cobra.Command, output, health string, log *slog.Logger) {
	if output != asJSON {
		return
	}
	if err := json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{"health": health}); err != nil {
		log.Warn("addresses not printed", "error", err)
	}
}
