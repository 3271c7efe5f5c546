package plc

import (
	"sync"
	"time"
)

// occasional lets one of many like messages through each second. Safe for concurrent use; the zero value is ready.
type occasional struct {
	mu      sync.Mutex
	last    int64
	skipped uint64
}

// now says whether it is time for a message, and how many were kept back since the last one.
func (o *occasional) now(nowNs int64) (skipped uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last != 0 && nowNs-o.last < int64(time.Second) {
		o.skipped++
		return 0, false
	}
	skipped, o.skipped, o.last = o.skipped, 0, nowNs
	return skipped, true
}
