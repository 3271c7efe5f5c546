package vision

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// maxLine bounds one line of the worker's standard error in the log; the rest of a longer one follows as its
// own.
const maxLine = 4 << 10

// logLines passes the worker's standard error on until it ends: its own records, which are JSON, as records
// again, and what native libraries write as it is.
func logLines(ctx context.Context, from io.Reader, log *slog.Logger) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		line, _, err := reader.ReadLine()
		if err != nil {
			return
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			logLine(ctx, text, log)
		}
	}
}

func logLine(ctx context.Context, text string, log *slog.Logger) {
	var record map[string]any
	var level slog.Level
	name := ""
	if json.Unmarshal([]byte(text), &record) == nil {
		name, _ = record[slog.LevelKey].(string)
	}
	if level.UnmarshalText([]byte(name)) != nil {
		log.InfoContext(ctx, "vision worker says", "line", strings.ToValidUTF8(text, "?"))
		return
	}
	attributes := []slog.Attr{slog.Any("says", record[slog.MessageKey])}
	for _, key := range slices.Sorted(maps.Keys(record)) {
		if key != slog.LevelKey && key != slog.MessageKey && key != slog.TimeKey {
			attributes = append(attributes, slog.Any(key, record[key]))
		}
	}
	log.LogAttrs(ctx, level, "vision worker", attributes...)
}
