package infer

import (
	"sync"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// forever is a timer's rest position: it is made once and only ever reset, so that arming allocates nothing.
const forever = 1 << 62

// fuse terminates a run at its deadline. A firing that comes late finds armed false, or a later deadline, and
// does nothing.
type fuse struct {
	runner Runner
	timer  *time.Timer

	mu         sync.Mutex // never held while the runner runs
	armed      bool
	terminated bool
	deadlineNs int64
}

func newFuse(r Runner) *fuse {
	f := &fuse{runner: r}
	f.timer = time.AfterFunc(forever, f.fire)
	return f
}

func (f *fuse) arm(deadlineNs int64) {
	f.mu.Lock()
	f.armed, f.terminated, f.deadlineNs = true, false, deadlineNs
	f.mu.Unlock()
	f.timer.Reset(time.Duration(deadlineNs - monotime.Now()))
}

func (f *fuse) fire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.armed && monotime.Now() >= f.deadlineNs {
		f.terminated = true
		f.runner.Terminate()
	}
}

// disarm says whether the run was terminated, and makes the runner ready again.
func (f *fuse) disarm() (terminated bool, err error) {
	f.timer.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	if f.terminated {
		return true, f.runner.Rearm()
	}
	return false, nil
}

func (f *fuse) stop() { f.timer.Stop() }
