package plc

// Depth is how many results may wait for the PLC's acknowledgement before it is told that it overran.
const Depth = 8

// unsent bounds the results that the local broker has not taken yet: as many as a station can have open
// parts.
const unsent = 64

// entry is one result on its way to the PLC.
type entry struct {
	id      string
	payload []byte
	sent    bool // the broker has it
	stale   bool // it is older than the connection: the PLC may have missed it
}

// results are what the PLC has not taken over yet, oldest first. With hold an entry leaves by its
// acknowledgement, else once the broker has it. Not safe for concurrent use.
type results struct {
	hold    bool
	entries []entry
	overrun bool
	dropped uint64 // never sent

	repeated uint64
}

// full says whether the next result overruns.
func (r *results) full() bool { return r.overrun || r.hold && len(r.entries) >= Depth }

// add takes a result. Beyond the depth the oldest one that was sent is held no longer; it has been published.
func (r *results) add(id string, payload []byte) {
	if r.hold && len(r.entries) >= Depth {
		r.overrun = true
		r.forgetSent()
	}
	if len(r.entries) >= unsent {
		r.overrun = true
		r.dropped++
		r.remove(0)
	}
	r.entries = append(r.entries, entry{id: id, payload: payload})
}

// next returns the oldest result that the broker does not have.
func (r *results) next() (entry, bool) {
	for _, e := range r.entries {
		if !e.sent {
			return e, true
		}
	}
	return entry{}, false
}

// sentOut notes that the broker has a result.
func (r *results) sentOut(id string) {
	i := r.index(id)
	switch {
	case i < 0: // acknowledged before the broker's own acknowledgement came
	case r.hold:
		r.entries[i].sent = true
	default:
		r.remove(i)
		r.settle()
	}
}

// ack removes an acknowledged result and says whether it was held.
func (r *results) ack(id string) bool {
	i := r.index(id)
	if i < 0 {
		return false
	}
	r.remove(i)
	r.settle()
	return true
}

// renew marks everything that is held as to be sent, after a new connection.
func (r *results) renew() {
	for i := range r.entries {
		r.entries[i].stale = true
	}
	r.repeat()
}

// repeat marks what is older than the connection as to be sent, and counts what was sent before.
func (r *results) repeat() {
	for i := range r.entries {
		if e := &r.entries[i]; e.stale && e.sent {
			e.sent = false
			r.repeated++
		}
	}
}

// reset forgets what was sent, and the overrun. A result that no broker has taken still goes out.
func (r *results) reset() {
	for r.forgetSent() {
	}
	r.overrun = false
}

// settle clears the overrun once the PLC (without hold: the broker) keeps up again.
func (r *results) settle() {
	if r.hold && len(r.entries) < Depth || len(r.entries) == 0 {
		r.overrun = false
	}
}

func (r *results) forgetSent() bool {
	for i, e := range r.entries {
		if e.sent {
			r.remove(i)
			return true
		}
	}
	return false
}

func (r *results) index(id string) int {
	for i, e := range r.entries {
		if e.id == id {
			return i
		}
	}
	return -1
}

func (r *results) remove(i int) {
	copy(r.entries[i:], r.entries[i+1:])
	r.entries[len(r.entries)-1] = entry{}
	r.entries = r.entries[:len(r.entries)-1]
}
