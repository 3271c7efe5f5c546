package vision

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
)

// maxLine bounds one line of the worker's standard error in the log; the rest of a longer one follows as its
// own.
const maxLine = 4 << 10

// logLines passes the worker's standard error on until it ends. Native libraries write what they like there,
// so the lines are data to the log and not parsed.
func logLines(from io.Reader, log *slog.Logger) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		line, _, err := reader.ReadLine()
		if err != nil {
			return
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			log.Info("vision worker says", "line", strings.ToValidUTF8(text, "?"))
		}
	}
}
