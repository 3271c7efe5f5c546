package part

// Closed returns the closed part of a job as long as it is remembered, else nil.
func (l *Ledger[V]) Closed(job uint64) *Part[V] {
	for _, p := range &l.closed {
		if p != nil && p.Job == job {
			return p
		}
	}
	return nil
}

// Remembers says whether a part of this name is open or was closed lately: a trigger that the broker delivers
// a second time names such a part.
func (l *Ledger[V]) Remembers(partID string) bool {
	if partID == "" {
		return false
	}
	for _, p := range &l.closed {
		if p != nil && p.PartID == partID {
			return true
		}
	}
	return l.named(partID)
}

// Repeats says whether a part of this name was triggered less than window nanoseconds before, and is closed:
// a PLC that heard no acknowledgement sends its trigger again, and must not be given another part's verdict
// for it.
func (l *Ledger[V]) Repeats(partID string, triggerNs, window int64) bool {
	if partID == "" {
		return false
	}
	for _, p := range &l.closed {
		if p != nil && p.PartID == partID && triggerNs-p.TriggerNs < window {
			return true
		}
	}
	return false
}

func (l *Ledger[V]) remember(p *Part[V]) {
	p.closed = true
	l.closed[l.closes%remembered] = p
	l.closes++
}

// late tells the answers that found no open part apart, and marks the closed part as answered.
func (l *Ledger[V]) late(job uint64) (*Part[V], error) {
	p := l.Closed(job)
	switch {
	case p == nil:
		return nil, ErrUnknown
	case p.Seen:
		return p, ErrAnswered
	}
	p.Seen = true
	return p, ErrLate
}

func (l *Ledger[V]) absent(job uint64) error {
	if l.Closed(job) != nil {
		return ErrLate
	}
	return ErrUnknown
}
