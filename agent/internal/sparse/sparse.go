// Package sparse logs at most one warning a second, since what goes wrong for one part goes wrong for many,
// and a full disk of logs stops a line as surely as anything.
package sparse

import (
	"log/slog"
	"sync"
	"time"
)

// Log passes one warning of each second on and counts the others. Safe for concurrent use.
type Log struct {
	log *slog.Logger
	now func() int64

	mu      sync.Mutex
	last    int64
	started bool
	skipped uint64
}

// New makes a sparse log on top of log. Now is CLOCK_MONOTONIC in nanoseconds.
func New(log *slog.Logger, now func() int64) *Log {
	return &Log{log: log, now: now}
}

// Warn logs, or counts the warning as unlogged, a number that the next one logged carries.
func (l *Log) Warn(message string, args ...any) {
	if skipped, ok := l.due(); ok {
		//nolint:sloglint // the message is constant at each caller
		l.log.Warn(message, append(args, "unlogged", skipped)...)
	}
}

func (l *Log) due() (skipped uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.started && now-l.last < int64(time.Second) {
		l.skipped++
		return 0, false
	}
	skipped, l.skipped, l.last, l.started = l.skipped, 0, now, true
	return skipped, true
}
