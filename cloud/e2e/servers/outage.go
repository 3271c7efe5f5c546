package servers

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	stopPoll  = 5 * time.Millisecond
	stopPolls = 400
)

// pause returns when every thread has stopped: the signal alone leaves them a moment to answer in.
func pause(p *process) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for range stopPolls {
		if p.stopped() {
			return nil
		}
		<-time.After(stopPoll)
	}
	return fmt.Errorf("%s does not stop", p.cmd.Path)
}

func (p *process) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	for _, thread := range threads {
		line, failed := os.ReadFile(thread)
		if failed == nil && !bytes.Contains(line, []byte(") T ")) {
			return false
		}
	}
	return err == nil
}

func resume(p *process) error { return p.signal(syscall.SIGCONT) }

// clusterID writes an id as Kafka does: 22 characters of URL-safe base64.
func clusterID(id uuid.UUID) string {
	id[0] &= 0x7f // else the text may begin with a hyphen, which the format command takes for a flag
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func leaveOutWhenShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("real servers are left out with -short; make test runs them")
	}
}
