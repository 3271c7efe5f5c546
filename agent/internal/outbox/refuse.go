package outbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	refusedFolder = "refused"
	maxRefused    = 1000
)

// refused is the content of a file in the folder of refused records.
type refused struct {
	Reason   string          `json:"reason"`
	Topic    string          `json:"topic"`
	Sequence uint64          `json:"sequence"`
	Event    json.RawMessage `json:"event,omitempty"`
	Payload  []byte          `json:"payload,omitempty"` // base64, of what is no JSON
}

// Refuse puts a record that no broker takes into a file of its own, below refused/, so that the stream can go
// on and nothing is lost. The record still has to be acknowledged. With 1,000 files there it returns an
// error.
func (o *Outbox) Refuse(r Record, reason string) error {
	folder := filepath.Join(o.options.Dir, refusedFolder)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("create folder of refused records: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("list refused records: %w", err)
	}
	if len(entries) >= maxRefused {
		return fmt.Errorf("%d refused records lie in %s: look at them and empty it", maxRefused, folder)
	}
	content := refused{Reason: reason, Topic: r.Topic, Sequence: r.Sequence}
	if json.Valid(r.Payload) {
		content.Event = r.Payload
	} else {
		content.Payload = r.Payload
	}
	b, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode refused record: %w", err)
	}
	name := filepath.Join(folder, fmt.Sprintf("%020d.json", r.Sequence))
	if err := fsutil.WriteFile(o.options.FS, name, b, 0o600); err != nil {
		return fmt.Errorf("store refused record: %w", err)
	}
	return nil
}
