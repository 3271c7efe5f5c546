package vision

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strings"
)

// maxLine bounds one line of the worker's standard error in the log; the rest of a longer one follows as its
// own.
const maxLine = 4 << 10

// logLines passes the worker's standard error on until it ends. Native libraries write what they like there,
// so the lines are data to the log and not parsed.
func logLines(ctx context.Context, from io.Reader, log *slog.Logger) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		line, _, err := reader.ReadLine()
		if err != nil {
			return
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			log.Log(ctx, level(text), "vision worker says", "line", strings.ToValidUTF8(text, "?"))
		}
	}
}

// level is what a line of the worker's own log says of itself. Native libraries say nothing: they are heard
// as info.
func level(line string) slog.Level {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelWarn, slog.LevelError} {
		if strings.Contains(line, "level="+l.String()+" ") {
			return l
		}
	}
	return slog.LevelInfo
}
