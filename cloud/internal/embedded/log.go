package embedded

import (
	"context"
	"log/slog"
)

// warnings lets through what the embedded broker warns of, less its nameless line for each client that
// leaves.
type warnings struct{ to slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.to.Enabled(ctx, level)
}

func (w warnings) Handle(ctx context.Context,
	r slog.Record,
) error {
	if r.Message == "" {
		return nil
	}
	return w.to.Handle(ctx, r) //nolint:wrapcheck // a handler's own
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler { return warnings{w.to.WithAttrs(attrs)} }

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.to.WithGroup(name)} }
