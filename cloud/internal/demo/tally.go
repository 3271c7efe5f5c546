// Package demo runs the whole chain on one machine without a camera, a GPU or a server: a simulated line
// and PLC, the real agent with its real worker, the bridge, and a Kafka consumer, and counts whether anything
// was lost.
package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
)

// remembered is of how many parts the tally keeps what it needs to see a duplicate, and of how many it keeps
// the latency. A connection that is lost makes the bridge repeat 10,000 messages at most, its max_unacked.
const remembered = 10_000

// mostUnknown is the share of parts that may end UNKNOWN, in percent: a machine may be slow once, but what
// was not inspected shows nothing.
const mostUnknown = 5

// Part is what became of one part.
type Part struct {
	ID      string
	Result  event.Inspection
	Latency time.Duration // PLC's trigger to PLC's receipt of the verdict
	Found   int           // drawn defects that were named
	Drawn   int
}

// account is what is known of a part whose verdict has reached the PLC.
type account struct {
	results            []string // ids seen at the PLC
	at                 time.Time
	triggered, inKafka bool
}

// Tally counts every part through the chain. Its memory is bounded: it keeps what is still due, and of the
// parts that are fully accounted for the last 10,000. A repeated verdict or record of an older one is taken
// for a new one; there is then one too many, and the numbers do not agree either. Safe for concurrent use.
type Tally struct {
	mu        sync.Mutex
	started   time.Time
	total     Summary              // so far; Lost, quantiles and Recent are left to Summarize
	due       map[string]time.Time // triggered, without a verdict at the PLC
	parts     map[string]*account
	kafka     map[string]bool // result ids
	unwritten int             // of parts: not in Kafka
	waiting   string
	settled   last[string] // of parts: triggered and in Kafka
	latencies last[time.Duration]
	recent    last[Part]
}

// NewTally starts the clock of the first verdict.
func NewTally(started time.Time) *Tally {
	return &Tally{
		started: started, due: map[string]time.Time{}, parts: map[string]*account{}, kafka: map[string]bool{},
		total:     Summary{Kinds: map[event.Verdict]int{}, Reasons: map[string]int{}},
		settled:   last[string]{limit: remembered},
		latencies: last[time.Duration]{limit: remembered},
		recent:    last[Part]{limit: recentParts},
	}
}

// Triggered notes that the PLC asked for a part.
func (t *Tally) Triggered(partID string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Parts++
	t.due[partID] = at
}

// AtPLC notes a verdict that reached the PLC, and returns the part when it is the first for it.
func (t *Tally) AtPLC(in event.Inspection, at time.Time) (part Part, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.parts[in.PartID]; a != nil {
		if !slices.Contains(a.results, in.ResultID) {
			a.results = append(a.results, in.ResultID)
			t.total.Duplicated++
		}
		return Part{}, false
	}
	sent, triggered := t.due[in.PartID]
	delete(t.due, in.PartID)
	a := &account{
		results: []string{in.ResultID}, at: at, triggered: triggered, inKafka: t.kafka[in.ResultID],
	}
	t.parts[in.PartID] = a
	if !a.inKafka {
		t.unwritten++
	}
	part = Part{ID: in.PartID, Result: in, Found: in.Found(), Drawn: len(in.Truth)}
	if triggered {
		part.Latency = at.Sub(sent)
		t.latencies.push(part.Latency)
	}
	if t.total.PLC == 0 {
		t.total.First = at.Sub(t.started)
	}
	t.total.add(&part)
	t.recent.push(part)
	t.settle(in.PartID, a)
	return part, true
}

// InKafka notes a record of sightline.inspections.
func (t *Tally) InKafka(resultID, partID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kafka[resultID] {
		t.total.Duplicated++
		return
	}
	t.kafka[resultID] = true
	t.total.Kafka++
	if a := t.parts[partID]; a != nil && !a.inKafka && slices.Contains(a.results, resultID) {
		a.inKafka = true
		t.unwritten--
		t.settle(partID, a)
	}
}

// settle lets the oldest settled part be forgotten for one that is now fully accounted for.
func (t *Tally) settle(partID string, a *account) {
	if !a.triggered || !a.inKafka {
		return
	}
	oldest, full := t.settled.push(partID)
	if !full {
		return
	}
	for _, id := range t.parts[oldest].results {
		delete(t.kafka, id)
	}
	delete(t.parts, oldest)
}

// SetVerdicts takes over the agent's own count of verdicts.
func (t *Tally) SetVerdicts(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Verdicts = n
}

// Waiting notes what the PLC waits for; empty: for nothing.
func (t *Tally) Waiting(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = what
}

// UnderWay parts what is not accounted for now: parts that may still get their verdict, and parts that had
// none within patience, or whose verdict had the time to reach Kafka and has not.
func (t *Tally) UnderWay(now time.Time, patience time.Duration) (underWay, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sent := range t.due {
		if now.Sub(sent) > patience {
			lost++
		}
	}
	underWay = len(t.due) - lost
	if t.unwritten == 0 {
		return underWay, lost
	}
	for _, a := range t.parts {
		if !a.inKafka && now.Sub(a.at) > settleLimit {
			lost++
		}
	}
	return underWay, lost
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
	Unseen     int            // UNKNOWN parts whose picture did not arrive: what was drawn is not in Drawn
	FalseAlarm int            // boards known to be without a defect that did not pass
	First      time.Duration  // start to the first verdict at the PLC
	P50, P99   time.Duration  // trigger to verdict at the PLC, of the last 10,000 parts
	Recent     []Part         // newest last
	Waiting    string         // what the PLC waits for; empty: for nothing
}

// Agree says whether every part has one verdict everywhere.
func (s *Summary) Agree() bool {
	return s.Lost == 0 && s.Duplicated == 0 && s.Verdicts == uint64(s.Parts) && s.PLC == s.Parts &&
		s.Kafka == s.Parts
}

// Inspected says whether no more than 5 % of the parts ended UNKNOWN.
func (s *Summary) Inspected() bool {
	return 100*s.Kinds[event.Unknown] <= mostUnknown*s.PLC
}

// Unknown tells how many parts ended UNKNOWN and why, and of how many the drawn defects are not counted; it
// is empty when none did.
func (s *Summary) Unknown() string {
	n := s.Kinds[event.Unknown]
	if n == 0 {
		return ""
	}
	reasons := make([]string, 0, len(s.Reasons))
	for _, reason := range slices.Sorted(maps.Keys(s.Reasons)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.Reasons[reason]))
	}
	text := fmt.Sprintf("%d of %d parts UNKNOWN (%s)", n, s.PLC, strings.Join(reasons, ", "))
	if s.Unseen > 0 {
		text += fmt.Sprintf("; the picture of %d did not arrive, and found= leaves their defects out",
			s.Unseen)
	}
	return text
}

// Line is the closing line.
func (s *Summary) Line() string {
	return fmt.Sprintf("parts=%d verdicts=%d plc=%d kafka=%d lost=%d duplicated=%d found=%d of %d",
		s.Parts, s.Verdicts, s.PLC, s.Kafka, s.Lost, s.Duplicated, s.Found, s.Drawn)
}

// FirstVerdict says when it came.
func (s *Summary) FirstVerdict() string {
	if s.PLC == 0 {
		return "no verdict"
	}
	return fmt.Sprintf("first verdict after %.1f s", s.First.Seconds())
}

// Summarize returns the count, with the last parts for display, twelve at most.
func (t *Tally) Summarize(recent int) Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.total
	s.Kinds, s.Reasons = maps.Clone(s.Kinds), maps.Clone(s.Reasons)
	s.Lost, s.Waiting = len(t.due)+t.unwritten, t.waiting
	latencies := slices.Sorted(slices.Values(t.latencies.items))
	s.P50, s.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	s.Recent = slices.Clone(t.recent.items[max(0, len(t.recent.items)-recent):])
	return s
}

func (s *Summary) add(p *Part) {
	s.PLC++
	s.Found += p.Found
	s.Drawn += p.Drawn
	s.Kinds[p.Result.Verdict]++
	if p.Result.Verdict == event.Unknown {
		s.Reasons[p.Result.Reason]++
	}
	if p.Result.Verdict == event.Unknown && p.Result.Frame.Width == 0 {
		s.Unseen++
		return
	}
	if p.Result.IsSimulated && p.Drawn == 0 && !p.Result.Accept {
		s.FalseAlarm++
	}
}

// last keeps the newest items, oldest first.
type last[T any] struct {
	limit int
	items []T
}

// push returns the item that it displaced, if it is full.
func (l *last[T]) push(item T) (oldest T, full bool) {
	l.items = append(l.items, item)
	if len(l.items) <= l.limit {
		return oldest, false
	}
	oldest, l.items = l.items[0], l.items[1:]
	return oldest, true
}

// quantile takes the nearest rank of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
