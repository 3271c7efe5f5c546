package station

import (
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// mostRecipes bounds those that a worker which died in the middle of a change may come back with.
const mostRecipes = 8

// Recipe is by what a station judges what its worker finds with one generation of its configuration.
type Recipe struct {
	Generation      uint64 // counts up with each change; two changes of one station have different ones
	ID              string // recipeId of results
	ConfigurationID string
	Rules           *verdict.Rules
	Digest          string // of the bundle that Rules were compiled from: no other model is judged by them
	Shadow          *Shadow
	// Reference is what the bundle's good images were like; nil or without images: it does not say.
	Reference *bundle.Reference
}

// current is a recipe and what runs it.
type current struct {
	Recipe

	model    *wire.Model // as the worker told; nil: not yet
	provider string
	drift    *drift.Watch // nil: no reference, or no part yet
}

// Adopt has answers of a recipe's generation judged by it, before the worker is told of the generation. One
// whose generation is known takes its place, from the next part on.
func (s *Station) Adopt(r Recipe) { s.messages <- r }

// Announce shows in the station's state what is about to be live, or what was refused; nil: neither.
func (s *Station) Announce(c *event.Candidate) { s.messages <- announcement{c} }

type announcement struct{ candidate *event.Candidate }

func (s *Station) adopt(r Recipe) {
	if known := s.recipe(r.Generation); known != nil {
		known.Recipe = r
		return
	}
	s.recipes = append(s.recipes, &current{Recipe: r})
	if len(s.recipes) > mostRecipes {
		oldest := slices.IndexFunc(s.recipes, func(c *current) bool { return c != s.live })
		s.recipes = slices.Delete(s.recipes, oldest, oldest+1)
	}
}

// recipe is that of a generation, or nil.
func (s *Station) recipe(generation uint64) *current {
	i := slices.IndexFunc(s.recipes, func(c *current) bool { return c.Generation == generation })
	if i < 0 {
		return nil
	}
	return s.recipes[i]
}

// of is the recipe that an answer was found with. An answer that nothing was found for has the live one.
func (s *Station) of(answer *wire.Inspected) *current {
	if c := s.recipe(answer.GetGeneration()); c != nil {
		return c
	}
	return s.live
}

// described notes what the worker inspects with from the next part on. Nothing is judged by rules that were
// made for something else.
func (s *Station) described(m *wire.StationState) {
	s.mismatch = ""
	if m.GetModel() == nil {
		return
	}
	c := s.recipe(m.GetGeneration())
	if c == nil || c.Digest != m.GetModel().GetDigest() {
		s.mismatch = "the worker inspects with another bundle than the agent judges by: have the agent " +
			"read its configuration again, by SIGHUP"
		return
	}
	if c != s.live {
		s.levels.Store(nil) // they were of what other parts are inspected with
	}
	s.live, c.model, c.provider = c, m.GetModel(), m.GetProvider()
}

// settled forgets what no answer will come of any more.
func (s *Station) settled(m *wire.Changed) {
	gone := func(c *current) bool { return c.Generation < m.GetGeneration() }
	if m.GetRefused() != "" {
		gone = func(c *current) bool { return c.Generation == m.GetGeneration() }
	}
	s.recipes = slices.DeleteFunc(s.recipes, func(c *current) bool { return c != s.live && gone(c) })
}

// shown is the candidate that the state tells of: one that is to take over before one that only looks on.
func (s *Station) shown() *event.Candidate {
	if shadow := s.live.Shadow; s.candidate == nil && shadow != nil {
		return &shadow.Candidate
	}
	return s.candidate
}

func (s *Station) announce(c *event.Candidate) {
	s.candidate = c
	s.report()
}
