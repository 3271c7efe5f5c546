package station

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
)

// What is counted. Those with a label have it in their comment.
const (
	CountParts         = "parts"          // closed, verdict
	CountUnknown       = "unknown"        // reason
	CountLate          = "answers_late"   // answers to closed parts
	CountDuplicate     = "answers_double" // second answers
	CountStray         = "answers_stray"  // answers to no part
	CountRefused       = "triggers_refused"
	CountSkipped       = "intervals_skipped"   // before the worker was ready for the first time
	CountOutboxLost    = "outbox_lost"         // events that the outbox did not take
	CountEvidence      = "evidence"            // pictures handed to the store
	CountEvidenceLost  = "evidence_lost"       // pictures not stored, requests for them not taken
	CountSamples       = "samples"             // frames asked for to learn from, reason
	CountSamplesLost   = "samples_lost"        // frames that the store did not take
	CountWorkerRefused = "inspections_refused" // requests that the worker did not take
	CountShadow        = "shadow"              // parts that a shadow has seen: live/shadow
	CountFrames        = "frames_failed"       // fault of a frame that belongs to no part
)

// Count is one counter's value.
type Count struct {
	Name, Label string
	Value       uint64
}

// Counters are a station's. Safe for concurrent use; the zero value is ready.
type Counters struct {
	mu     sync.Mutex
	counts map[Count]uint64 // Value of the key is 0
}

// All returns the counters, sorted by name and label.
func (c *Counters) All() []Count {
	c.mu.Lock()
	all := make([]Count, 0, len(c.counts))
	for k, v := range c.counts {
		k.Value = v
		all = append(all, k)
	}
	c.mu.Unlock()
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Label, b.Label))
	})
	return all
}

// Get returns the sum of a counter over its labels.
func (c *Counters) Get(name string) uint64 {
	var sum uint64
	for _, k := range c.All() {
		if k.Name == name {
			sum += k.Value
		}
	}
	return sum
}

func (c *Counters) add(name, label string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[Count]uint64)
	}
	c.counts[Count{Name: name, Label: label}]++
}

// Closed is what an observer learns of each part. Decision runs from the frame in memory to the hand-over of
// the result, 0 for a part without a frame.
type Closed struct {
	Verdict  event.Verdict
	Reason   string
	Decision time.Duration
}
