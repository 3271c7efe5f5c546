package main

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// logging is what all commands share: where and how they log.
type logging struct {
	level  slog.Level
	format string
}

// root is the command with all of its commands below it. Each is a file of its own.
func root() *cobra.Command {
	var l logging
	c := &cobra.Command{
		Use:           "sightline-agent",
		Short:         "Inspect parts on a factory line and give each one verdict in time",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	c.PersistentFlags().TextVar(&l.level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	c.PersistentFlags().StringVar(&l.format, "log-format", "text", "text or json")
	c.AddCommand(
		runCommand(&l),
		checkCommand(&l),
		evalCommand(&l),
		benchCommand(&l),
		replayCommand(&l),
		inspectCommand(),
		sheetCommand(&l),
		templateCommand(&l),
		samplesCommand(&l),
		referenceCommand(&l),
		versionCommand(),
	)
	return c
}

// logger writes to the command's standard error.
func (l *logging) logger(c *cobra.Command) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: l.level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(c.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.ErrOrStderr(), options)), nil
	default:
		return nil, fmt.Errorf("log format %q is neither text nor json", l.format)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "sightline-agent", version, runtime.Version(),
				runtime.GOOS+"/"+runtime.GOARCH)
			return err
		},
	}
}
