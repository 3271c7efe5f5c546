package main

import (
	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/config"
)

func runCommand(l *logging) *cobra.Command {
	return &cobra.Command{
		Use:   "run CONFIGURATION",
		Short: "Inspect until stopped by SIGINT or SIGTERM",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			log, err := l.logger(c)
			if err != nil {
				return err
			}
			cfg, err := config.Load(args[0])
			if err != nil {
				return err
			}
			return app.Run(c.Context(), app.Options{Config: cfg, Log: log})
		},
	}
}
