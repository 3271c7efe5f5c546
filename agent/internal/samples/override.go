package samples

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/topic"
)

// What an overridden part is kept with.
const (
	WithFrame    = "frame"    // as the camera gave it
	WithEvidence = "evidence" // the annotated picture: the frame had gone
	WithNothing  = "none"
)

// Order is an override of a part of a station: by its result, or else of the newest part of that name.
type Order struct {
	Place            topic.Station
	ResultID, PartID string
	Override         Override
}

// Answer says what became of an override.
type Answer struct {
	ResultID, PartID string
	With             string // WithFrame, WithEvidence or WithNothing
	Err              error  // ErrUnknown, ErrDeclined, or of the disk
}

// Override makes a sample of what an operator said of a part. It never waits; answer is called once, by the
// store, unless an error is returned. A second override of a part takes the place of the first.
func (s *Store) Override(o Order, answer func(Answer)) error {
	return s.offer(job{order: &o, answer: answer})
}

func (s *Store) override(o *Order) Answer {
	r, err := s.find(o)
	if err != nil {
		return Answer{ResultID: o.ResultID, PartID: o.PartID, Err: err}
	}
	a := Answer{ResultID: r.ResultID, PartID: r.PartID, With: WithNothing}
	r.Reason, r.Override = Overridden, &o.Override
	var picture []byte
	if r.Picture == nil || r.Picture.Annotated {
		picture = s.held(r.ResultID)
	}
	switch {
	case picture != nil || r.Picture != nil && !r.Picture.Annotated:
		a.With = WithFrame
	case r.Picture != nil:
		a.With = WithEvidence
	case s.options.Evidence != nil:
		if drawn, err := s.options.Evidence(o.Place, r.ResultID); err == nil {
			picture, r.Picture, a.With = drawn, &Picture{Annotated: true}, WithEvidence
		}
	}
	if a.Err = s.keep(r, picture); a.Err != nil {
		if !errors.Is(a.Err, ErrDeclined) { // which keep has counted
			s.dropped.Add(1)
			s.complain("override not stored", a.Err)
		}
		return a
	}
	s.overridden.Add(1)
	return a
}

// find returns what is known of the part: from disk where it is a sample already, else from memory, and
// else no more than its result, if that has evidence.
func (s *Store) find(o *Order) (*Record, error) {
	place := o.Place.Path()
	known := s.noted(o)
	id := o.ResultID
	if known != nil {
		id = known.ResultID
	}
	if e := s.onDisk(place, id, o.PartID); e != nil {
		r, err := s.read(e)
		if err == nil {
			return r, nil
		}
		s.complain("sample not read", err)
	}
	if known != nil {
		return known, nil
	}
	if o.ResultID == "" || s.options.Evidence == nil {
		return nil, ErrUnknown
	}
	if _, err := s.options.Evidence(o.Place, o.ResultID); err != nil {
		return nil, ErrUnknown
	}
	at, err := minted(o.ResultID)
	if err != nil {
		return nil, errors.Join(ErrUnknown, err)
	}
	return &Record{
		Version: formatVersion, ResultID: o.ResultID, Station: place, PartID: o.PartID, Time: at,
	}, nil
}

// noted returns a copy of what is remembered of the part, or nil.
func (s *Store) noted(o *Order) *Record {
	s.memory.Lock()
	defer s.memory.Unlock()
	var r *Record
	if o.ResultID != "" {
		r = s.recent.find(o.ResultID)
	} else {
		r = s.recent.newest(o.Place.Path(), o.PartID)
	}
	if r == nil || r.Station != o.Place.Path() {
		return nil
	}
	return r.copied()
}

// held returns the picture that waits for an override, or remembers that one came before its picture.
func (s *Store) held(resultID string) []byte {
	s.memory.Lock()
	if s.recent.find(resultID) != nil {
		s.recent.awaited[resultID] = true
	}
	picture := s.recent.held[resultID]
	s.memory.Unlock() // stations do not wait for it to be joined
	return slices.Concat(picture...)
}

func (s *Store) onDisk(place, id, part string) *entry {
	s.shelving.Lock()
	defer s.shelving.Unlock()
	if id == "" {
		return s.shelf.newest(place, part)
	}
	if e := s.shelf.entries[id]; e != nil && e.station == place {
		return e
	}
	return nil
}

// sample keeps a picture for a reason that the agent found itself. Where an operator was faster, what they
// said stays, and gets the picture.
func (s *Store) sample(r *Record, picture []byte) error {
	if e := s.onDisk(r.Station, r.ResultID, ""); e != nil {
		old, err := s.read(e)
		if err != nil {
			return fmt.Errorf("complete a sample: %w", err)
		}
		if old.Picture != nil && !old.Picture.Annotated {
			if r.Reason.worth() <= old.Reason.worth() {
				return nil
			}
			old.Reason, old.Margin = r.Reason, r.Margin // the shadow spoke after the station
			return s.keep(old, nil)
		}
		old.Picture = nil
		return s.keep(old, picture)
	}
	if r.Reason == "" {
		return nil // the sample that waited for it has gone
	}
	return s.keep(r.copied(), picture)
}
