package main

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/config"
)

func runCommand(l *logging) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "run CONFIGURATION",
		Short: "Inspect until stopped by SIGINT or SIGTERM",
		Args:  cobra.ExactArgs(1),
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
			return app.Run(c.Context(), app.Options{Config: cfg, Log: log, Started: func(health string) {
				announce(c, output, health, log)
			}})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text",
		"text or json; json: print a line with the address of health once everything runs")
	return c
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
