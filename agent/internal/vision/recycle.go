package vision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// ErrRecycled says that a worker was replaced in an idle moment, since its libraries keep the memory of
// models that they have unloaded.
var ErrRecycled = errors.New("it kept the memory of models that are gone")

const (
	look      = time.Second      // between two looks at workers' memory
	idle      = 10 * time.Second // without a part: longer than a worker on a CPU takes to be replaced
	roomBytes = 512 << 20        // beside twice what a worker took before its first change
)

// recycle replaces workers whose memory is over its limit, each as soon as none of its stations has had a
// part for a while, until ctx ends.
func (c *Crew) recycle(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for _, w := range c.workers() {
			if limit := c.limit(w); limit != 0 && w.resident() > limit && c.idle(w) {
				w.end()
			}
		}
	}
}

// limit is what a worker may take in bytes of resident memory; 0: as much as it likes: it never changed.
func (c *Crew) limit(w *Worker) int64 {
	switch before := w.before.Load(); {
	case before == 0:
		return 0
	case c.opts.RecycleAbove > 0:
		return c.opts.RecycleAbove
	default:
		return 2*before + roomBytes
	}
}

// idle says that no station of a worker waits for an answer, has had one of late, or is being changed: two
// models take more than one.
func (c *Crew) idle(w *Worker) bool {
	for i := range c.seats {
		s := c.seats[i].Load()
		if s.worker.Load() != w {
			continue
		}
		if s.open.Load() > 0 || s.pending.Load() != nil || monotime.Since(s.lastNs.Load()) < c.opts.Idle {
			return false
		}
	}
	return true
}

// resident is the memory of the process that runs now, in bytes, 0 when there is none.
func (w *Worker) resident() int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.Pid()))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw)) // of pages: size, resident, … (proc_pid_statm(5))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// end has the process that runs now leave in order, and the next one take its place.
func (w *Worker) end() {
	if s := w.current.Load(); s != nil {
		s.leave(ErrRecycled)
	}
}
