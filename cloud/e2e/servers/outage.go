package servers

import (
	"encoding/base64"
	"syscall"
	"testing"

	"github.com/google/uuid"
)

func pause(p *process) error  { return p.signal(syscall.SIGSTOP) }
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
