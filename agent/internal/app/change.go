package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Errors of a configuration that is not taken over.
var (
	ErrRestart = errors.New("restart the agent to change this")
	ErrRefused = errors.New("refused")
)

// plan is how one station is to inspect and judge.
type plan struct {
	recipe *recipe.Recipe
	rules  *verdict.Rules
	shadow *verdict.Rules // of its shadow; nil without one
	id     string         // of the configuration
	config *wire.StationConfig
}

// planFor reads what a station's configuration names: bundle, template and rules for its classes.
func planFor(c *config.Loaded, i int) (*plan, error) {
	s := &c.Stations[i]
	r, err := recipe.Load(&c.Config, i)
	if err != nil {
		return nil, c.Locate(i, err)
	}
	rules, err := verdict.Compile(s.Verdict, &r.Manifest)
	if err != nil {
		return nil, c.Locate(i, err)
	}
	p := &plan{recipe: r, rules: rules, id: c.ID}
	if r.Shadow != nil {
		if p.shadow, err = verdict.Compile(s.Verdict, &r.Shadow.Manifest); err != nil {
			return nil, c.Locate(i, err)
		}
	}
	p.config = &wire.StationConfig{
		Name: s.Name, Camera: s.Camera,
		OpenTimeoutNs: int64(s.OpenTimeout), ReadTimeoutNs: int64(s.ReadTimeout),
		EvidenceQuality: int32(c.Evidence.Quality), MaxCrops: int32(*c.Evidence.MaxCrops),
	}
	r.Tell(p.config)
	p.number(1)
	return p, nil
}

// number gives it a generation.
func (p *plan) number(generation uint64) {
	p.config.Generation = generation
	if shadow := p.config.GetShadow(); shadow != nil {
		shadow.Generation = generation
	}
}

// judge is how the station judges what the worker finds with it.
func (p *plan) judge() station.Recipe {
	r := station.Recipe{
		Generation: p.config.GetGeneration(), ID: p.recipe.ID, ConfigurationID: p.id, Rules: p.rules,
		Digest: p.recipe.Digest, Reference: &p.recipe.Manifest.Reference,
	}
	if shadow := p.recipe.Shadow; shadow != nil {
		r.Shadow = &station.Shadow{Rules: p.shadow, Candidate: event.Candidate{
			RecipeID: shadow.ID, Phase: event.CandidateShadow, Model: event.Model{
				Name: shadow.Manifest.Name, Version: shadow.Manifest.Version, Digest: shadow.Digest,
			},
		}}
	}
	return r
}

// shown is what the station's state says of a candidate.
func (p *plan) shown(phase event.CandidatePhase, reason string) *event.Candidate {
	return &event.Candidate{
		RecipeID: p.recipe.ID, Phase: phase, Reason: reason, Model: event.Model{
			Name: p.recipe.Manifest.Name, Version: p.recipe.Manifest.Version, Digest: p.recipe.Digest,
			Template: p.config.GetTemplate().GetDigest(),
		},
	}
}

// matter is what a worker does by it, and nothing of the station's camera: two plans of one matter need one
// trial.
func (p *plan) matter() string {
	c := proto.CloneOf(p.config)
	c.Name, c.Camera, c.OpenTimeoutNs, c.ReadTimeoutNs, c.Generation = "", "", 0, 0, 0
	if shadow := c.GetShadow(); shadow != nil {
		shadow.Name, shadow.Generation = "", 0
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return p.config.GetName() // like nothing else
	}
	return string(raw)
}

// change is what a station inspects by, and what it is asked to inspect by. One goroutine, besides heard.
type change struct {
	live  *plan
	last  uint64     // generation that was asked for
	ended chan ended // of the change under way
	loose bool       // the last one failed, or was not waited for: the worker may have taken it

	withdrawn      atomic.Bool                       // the shadow: its worker died
	seen           atomic.Pointer[wire.StationState] // the worker's last
	taken, refused atomic.Uint64                     // changes so far
}

// same says that the station inspects by a plan's matter already.
func (c *change) same(p *plan) bool {
	working := c.seen.Load().GetPhase() != wire.Phase_PHASE_REFUSED
	if p.config.GetShadow() != nil && c.withdrawn.Load() {
		return false
	}
	return working && !c.loose && p.matter() == c.live.matter()
}

// ended is what became of a change.
type ended struct {
	generation uint64 // 0: of any
	err        error
}

func newChange(first *plan) *change {
	return &change{live: first, last: first.config.GetGeneration(), ended: make(chan ended, 4)}
}

// heard listens to the worker. It never blocks: nobody waits for what is not under way.
func (c *change) heard(message any) {
	var e ended
	switch m := message.(type) {
	case *wire.Changed:
		e.generation = m.GetGeneration()
		if refused := m.GetRefused(); refused != "" {
			e.err = fmt.Errorf("%w: %s", ErrRefused, refused)
		}
	case *wire.StationState:
		c.seen.Store(m)
		return
	case vision.Died:
		c.withdrawn.Store(true)
		e.err = fmt.Errorf("%w: the vision worker ended while it loaded it: %w", ErrRefused, m.Err)
	default:
		return
	}
	for {
		select {
		case c.ended <- e:
			return
		default:
		}
		select { // of what nobody looked at, the oldest goes
		case <-c.ended:
		default:
		}
	}
}

// wait returns what became of a generation.
func (c *change) wait(ctx context.Context, generation uint64) error {
	for {
		select {
		case e := <-c.ended:
			if e.generation == 0 || e.generation == generation {
				return e.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reload takes a configuration over while the stations inspect: all of it, or nothing but for a station whose
// worker refuses it at the last step.
func (a *agent) reload(ctx context.Context, next *config.Loaded) {
	plans, err := a.plans(next)
	if err == nil {
		err = a.tryAll(ctx, plans)
	}
	if ctx.Err() != nil { // the agent stops, or another configuration came
		return
	}
	if err != nil {
		a.log.ErrorContext(ctx, "configuration not taken: everything goes on as it was",
			"configuration", next.ID, "error", err)
		return
	}
	a.cfg = next
	var applying sync.WaitGroup
	var refused atomic.Int64
	for i, p := range plans { // side by side: one may wait long for the next part of its line
		applying.Go(func() {
			if err := a.apply(ctx, i, p); err != nil && ctx.Err() == nil {
				refused.Add(1)
				a.refused(ctx, i, p, err)
			}
		})
	}
	applying.Wait()
	if ctx.Err() == nil {
		a.log.InfoContext(ctx, "configuration taken", "configuration", next.ID,
			"stations", len(plans), "refused", refused.Load())
	}
}

// plans reads what all stations are to inspect by. All faults come back at once.
func (a *agent) plans(next *config.Loaded) (plans []*plan, err error) {
	if fixed := config.Fixed(&a.cfg.Config, &next.Config); len(fixed) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrRestart, strings.Join(fixed, ", "))
	}
	for i := range next.Stations {
		p, fault := planFor(next, i)
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("station %s: %w", next.Stations[i].Name, fault))
		}
		plans = append(plans, p)
	}
	return plans, err
}

// tryAll tries what the stations have not run yet, each bundle once.
func (a *agent) tryAll(ctx context.Context, plans []*plan) error {
	tried := map[string]*tried{}
	var failed error
	for i, p := range plans {
		s := a.stations[i]
		if s.change.same(p) {
			continue
		}
		t := tried[p.matter()]
		if t == nil {
			s.station.Announce(p.shown(event.CandidateTrial, ""))
			t = a.try(ctx, p.config)
			tried[p.matter()] = t
			s.station.Announce(nil)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.against(s.change.seen.Load()); err != nil {
			a.refused(ctx, i, p, err)
			failed = errors.Join(failed, fmt.Errorf("station %s: %w", p.config.GetName(), err))
		}
	}
	return failed
}

// tried is what came of a trial.
type tried struct {
	state *wire.StationState
	err   error
}

// against says why what was tried must not take over from what a station has.
func (t *tried) against(live *wire.StationState) error {
	working := live.GetPhase() == wire.Phase_PHASE_READY
	if t.err == nil && working && t.state.GetFellBack() && !live.GetFellBack() {
		return fmt.Errorf("%w: it would run on %s, and what runs has the first execution provider of its "+
			"bundle: %s", ErrRefused, t.state.GetProvider(), t.state.GetFallbackReason())
	}
	return t.err
}

// try loads what a station is to inspect by in a process of its own, with the golden samples.
func (a *agent) try(ctx context.Context, c *wire.StationConfig) *tried {
	c = proto.CloneOf(c)
	c.Camera = ""
	i := inspector.Open(ctx, inspector.Options{
		Launch: a.trial, Configure: a.around(c), Log: a.log.With("trial", true), Background: true,
	})
	defer i.Close()
	state, err := i.Ready(ctx)
	if err != nil {
		err = fmt.Errorf("%w in its trial: %w", ErrRefused, err)
	}
	return &tried{state, err}
}

// apply has a station inspect by a plan from some part on.
func (a *agent) apply(ctx context.Context, i int, p *plan) error {
	s := a.stations[i]
	if s.change.same(p) { // the worker need not know
		p.number(s.change.live.config.GetGeneration())
		s.change.live = p
		s.station.Adopt(p.judge())
		s.station.Announce(nil)
		return nil
	}
	s.change.last++
	p.number(s.change.last)
	s.station.Adopt(p.judge())
	s.station.Announce(p.shown(event.CandidateLoading, ""))
	for len(s.change.ended) > 0 { // of before
		<-s.change.ended
	}
	s.change.withdrawn.Store(false)
	if err := a.workers.Change(i, proto.CloneOf(p.config)); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	err := s.change.wait(ctx, p.config.GetGeneration())
	s.change.loose = err != nil
	if err != nil {
		return err
	}
	s.change.live = p
	s.change.taken.Add(1)
	s.station.Announce(nil)
	a.log.InfoContext(ctx, "station inspects by its new recipe", "station", s.place.Path(),
		"recipe", p.recipe.ID, "bundle", p.recipe.Manifest.Name, "version", p.recipe.Manifest.Version,
		"digest", p.recipe.Digest)
	return nil
}

// maxReason bounds a candidate's reason in a state, in bytes.
const maxReason = 512

func clip(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// refused says why a station goes on as it was.
func (a *agent) refused(ctx context.Context, i int, p *plan, err error) {
	s := a.stations[i]
	s.change.refused.Add(1)
	s.station.Announce(p.shown(event.CandidateRefused, clip(err.Error())))
	a.log.ErrorContext(ctx, "station goes on as it was", "station", s.place.Path(), "refused", p.recipe.ID,
		"bundle", p.recipe.Manifest.Name, "version", p.recipe.Manifest.Version, "error", err)
}
