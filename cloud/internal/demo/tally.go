// Package demo runs the whole chain on one machine without a camera, a GPU or a server: a simulated line
// and PLC, the real agent with its real worker, the bridge, and a Kafka consumer, and counts whether anything
// was lost.
package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
)

// Part is what became of one part.
type Part struct {
	ID      string
	Result  event.Inspection
	Latency time.Duration // PLC's trigger to PLC's receipt of the verdict
	Found   int           // drawn defects that were named
	Drawn   int
	InKafka bool

	ids map[string]bool // result ids seen at the PLC
}

// Tally counts every part through the chain. Safe for concurrent use.
type Tally struct {
	mu       sync.Mutex
	started  time.Time
	first    time.Duration
	sent     map[string]time.Time
	parts    map[string]*Part
	order    []*Part // by arrival of their verdict
	kafka    map[string]int
	verdicts uint64 // the agent's own count
}

// NewTally starts the clock of the first verdict.
func NewTally(started time.Time) *Tally {
	return &Tally{
		started: started, sent: map[string]time.Time{}, parts: map[string]*Part{}, kafka: map[string]int{},
	}
}

// Triggered notes that the PLC asked for a part.
func (t *Tally) Triggered(partID string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[partID] = at
}

// AtPLC notes a verdict that reached the PLC, and returns the part when it is the first for it.
func (t *Tally) AtPLC(in event.Inspection, at time.Time) (part Part, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.parts[in.PartID]
	if p != nil {
		p.ids[in.ResultID] = true
		return *p, false
	}
	if len(t.parts) == 0 {
		t.first = at.Sub(t.started)
	}
	p = &Part{
		ID:     in.PartID,
		Result: in,
		Found:  in.Found(),
		Drawn:  len(in.Truth),
		ids:    map[string]bool{in.ResultID: true},
	}
	if sent, ok := t.sent[in.PartID]; ok {
		p.Latency = at.Sub(sent)
	}
	p.InKafka = t.kafka[in.ResultID] > 0
	t.parts[in.PartID] = p
	t.order = append(t.order, p)
	return *p, true
}

// InKafka notes a record of sightline.inspections.
func (t *Tally) InKafka(resultID, partID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kafka[resultID]++
	if p := t.parts[partID]; p != nil && p.ids[resultID] {
		p.InKafka = true
	}
}

// SetVerdicts takes over the agent's own count of verdicts.
func (t *Tally) SetVerdicts(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verdicts = n
}

// Summary is the state of the count.
type Summary struct {
	Parts      int    // triggered by the PLC
	Verdicts   uint64 // given, as the agent counts them
	PLC        int    // parts whose verdict reached the PLC
	Kafka      int    // different results in Kafka
	Lost       int    // parts without a verdict at the PLC, and verdicts that are not in Kafka
	Duplicated int    // second verdicts of a part, and second records of a result
	Found      int    // drawn defects that were named, of Drawn
	Drawn      int    //
	Kinds      map[event.Verdict]int
	Reasons    map[string]int // of UNKNOWN
	FalseAlarm int            // boards without a defect that did not pass
	First      time.Duration  // start to the first verdict at the PLC
	P50, P99   time.Duration  // trigger to verdict at the PLC
	Recent     []Part         // newest last
}

// Agree says whether every part has one verdict everywhere.
func (s *Summary) Agree() bool {
	return s.Lost == 0 && s.Duplicated == 0 && s.Verdicts == uint64(s.Parts) && s.PLC == s.Parts &&
		s.Kafka == s.Parts
}

// Line is the closing line.
func (s *Summary) Line() string {
	return fmt.Sprintf("parts=%d verdicts=%d plc=%d kafka=%d lost=%d duplicated=%d found=%d of %d",
		s.Parts, s.Verdicts, s.PLC, s.Kafka, s.Lost, s.Duplicated, s.Found, s.Drawn)
}

// Summarize counts, with the last parts for display.
func (t *Tally) Summarize(recent int) Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Summary{
		Parts: len(t.sent), Verdicts: t.verdicts, PLC: len(t.parts), Kafka: len(t.kafka), First: t.first,
		Kinds: map[event.Verdict]int{}, Reasons: map[string]int{},
	}
	for id := range t.sent {
		if t.parts[id] == nil {
			s.Lost++
		}
	}
	latencies := make([]time.Duration, 0, len(t.order))
	for _, p := range t.order {
		s.add(p)
		latencies = append(latencies, p.Latency)
	}
	for _, n := range t.kafka {
		s.Duplicated += n - 1
	}
	slices.Sort(latencies)
	s.P50, s.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	for _, p := range t.order[max(0, len(t.order)-recent):] {
		s.Recent = append(s.Recent, *p)
	}
	return s
}

func (s *Summary) add(p *Part) {
	s.Duplicated += len(p.ids) - 1
	if !p.InKafka {
		s.Lost++
	}
	s.Found += p.Found
	s.Drawn += p.Drawn
	s.Kinds[p.Result.Verdict]++
	if p.Result.Verdict == event.Unknown {
		s.Reasons[p.Result.Reason]++
	}
	if p.Result.IsSimulated && p.Drawn == 0 && !p.Result.Accept {
		s.FalseAlarm++
	}
}

// quantile takes the nearest rank of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
