package app_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// changing is an agent whose configuration is written anew while it runs.
type changing struct {
	*plcClient

	file   string
	path   string // of the health endpoint
	reload chan *config.Loaded
	log    *lines
	stop   func()
	parts  int
}

// lines is a log that tests look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// logged waits until a text was logged so many times.
func (c *changing) logged(times int, text string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.log.count(text) >= times },
		15*time.Second, time.Millisecond, "%s", text)
}

// startChanging runs an agent with one station. Workers that have no camera try a bundle.
func startChanging(t *testing.T, script fakeworker.Script) *changing {
	t.Helper()
	port := brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, port))
	c := &changing{
		plcClient: connectPLC(t, port), reload: make(chan *config.Loaded), log: &lines{},
		path: fmt.Sprintf("127.0.0.1:%d", brokertest.FreePort(t)),
		file: fmt.Sprintf(`
place: acme/dongguan/smt
mqtt: {local: "tcp://127.0.0.1:%d", client_id: node-7}
state_dir: %s
health: {listen: "HEALTH"}
stations:
  - name: line3/aoi-1
    camera: "sim:"
    bundle: BUNDLE
    trigger: {mode: mqtt, deadline: 2s}
`, port, t.TempDir()),
	}
	first, err := filepath.Abs(pcbDefects)
	require.NoError(t, err)
	c.stop = runAgent(t, app.Options{
		Config: c.parsed(first, ""), Reload: c.reload, Log: slog.New(slog.NewTextHandler(c.log, nil)),
		Launch: fakeworker.Launch(script),
	})
	c.awaitState(event.Ready)
	return c
}

func (c *changing) parsed(dir, extra string) *config.Loaded {
	c.t.Helper()
	file := strings.NewReplacer("BUNDLE", dir, "HEALTH", c.path).Replace(c.file) + extra
	cfg, err := config.Parse([]byte(file))
	require.NoError(c.t, err)
	return cfg
}

// part brings one and returns its result.
func (c *changing) part() event.Inspection {
	c.t.Helper()
	c.trigger(fmt.Sprintf("P%d", c.parts))
	c.parts++
	return c.await(c.parts)[c.parts-1]
}

// candidate waits until the state's candidate is in a phase.
func (c *changing) candidate(phase event.CandidatePhase) *event.Candidate {
	c.t.Helper()
	var last *event.Candidate
	require.Eventually(c.t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		last = c.states[len(c.states)-1].Candidate
		return last != nil && last.Phase == phase
	}, 15*time.Second, time.Millisecond, "candidate %q", phase)
	return last
}

// runs waits until the station's next part is inspected with a bundle.
func (c *changing) runs(digest string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		last := c.states[len(c.states)-1]
		return last.State == event.Ready && last.Model.Digest == digest && last.Candidate == nil
	}, 15*time.Second, time.Millisecond, "digest %s", digest)
}

// version writes the reference bundle into a folder, as version 9.0.0.
func version(t *testing.T) (dir string, b *bundle.Bundle) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(pcbDefects)))
	manifest := filepath.Join(dir, bundle.ManifestFile)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	b, err = bundle.Load(dir)
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), "version: "+b.Manifest.Version, "version: 9.0.0", 1))
	require.NoError(t, os.WriteFile(manifest, text, 0o600))
	b, err = bundle.Load(dir)
	require.NoError(t, err)
	require.Equal(t, "9.0.0", b.Manifest.Version)
	return dir, b
}

func findsOne(p *fakeworker.Peer, m *wire.Inspect) {
	p.Answer(m, &wire.Detection{Class: 1, Score: 0.6, X2: 20, Y2: 20})
}

func TestAnotherBundleTakesOverWhilePartsAreInspected(t *testing.T) {
	gate := make(chan struct{})
	late := func(p *fakeworker.Peer, m *wire.Change) {
		<-gate
		p.Take(m)
		p.Send(wire.KindChanged, &wire.Changed{Generation: m.GetConfig().GetGeneration()})
	}
	c := startChanging(t, fakeworker.Script{Inspect: findsOne, Change: late})
	was := c.part()
	require.Equal(t, event.Fail, was.Verdict)
	dir, next := version(t)
	cfg := c.parsed(dir, "    recipe: boards-9\n    verdict: {classes: {short: {threshold: 0.7}}}\n")
	c.reload <- cfg
	loading := c.candidate(event.CandidateLoading)
	require.Equal(t, "boards-9", loading.RecipeID)
	require.Equal(t, next.Digest, loading.Model.Digest)
	close(gate)
	c.runs(next.Digest)
	now := c.part()
	require.Equal(t, next.Digest, now.Model.Digest)
	require.NotEqual(t, was.Model.Digest, now.Model.Digest)
	require.Equal(t, "boards-9", now.RecipeID)
	require.Equal(t, cfg.ID, now.ConfigurationID)
	require.Equal(t, event.Pass, now.Verdict, "by the rules that came with it")
	require.Equal(t, next.Digest, c.awaitState(event.Ready).Model.Digest)
	require.Contains(t, get(t, c.path, "/metrics"),
		`sightline_changes_total{station="acme/dongguan/smt/line3/aoi-1",what="taken"} 1`)
}

// An answer is judged by what it was found with, also when the next recipe is there already.
func TestAPartIsJudgedByWhatItWasInspectedWith(t *testing.T) {
	var held atomic.Pointer[wire.Inspect]
	c := startChanging(t, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			if held.CompareAndSwap(nil, m) { // inspected with the first recipe, answered under the second
				p.Expose(m)
				return
			}
			findsOne(p, m)
		},
		Change: func(p *fakeworker.Peer, m *wire.Change) {
			p.Take(m)
			p.Send(wire.KindInspected, &wire.Inspected{
				Job: held.Load().GetJob(), ExposedNs: 1, Generation: 1, Width: 640, Height: 640,
				Detections: []*wire.Detection{{Class: 1, Score: 0.6, X2: 20, Y2: 20}},
			})
			p.Send(wire.KindChanged, &wire.Changed{Generation: m.GetConfig().GetGeneration()})
		},
	})
	c.trigger("early")
	dir, next := version(t)
	require.Eventually(t, func() bool { return held.Load() != nil }, 10*time.Second, time.Millisecond)
	c.reload <- c.parsed(dir, "    recipe: strict\n    verdict: {classes: {short: {threshold: 0.7}}}\n")
	early := c.await(1)[0]
	require.Equal(t, event.Fail, early.Verdict)
	require.NotEqual(t, next.Digest, early.Model.Digest)
	require.Equal(t, "pcb-defects", early.RecipeID)
	c.runs(next.Digest)
	c.parts = 1
	require.Equal(t, "strict", c.part().RecipeID)
}

func TestACandidateThatIsRefusedLeavesTheStationAsItWas(t *testing.T) {
	refusal := func(p *fakeworker.Peer, station uint32) {
		p.State(station, wire.Phase_PHASE_REFUSED, "golden sample 3: expected open, found nothing")
	}
	for name, script := range map[string]fakeworker.Script{
		"golden sample 3": {Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			if m.GetStations()[0].GetCamera() == "" {
				refusal(p, 0)
				return
			}
			p.State(0, wire.Phase_PHASE_READY, "")
		}},
		"the worker died": {Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			if m.GetStations()[0].GetCamera() == "" {
				p.Die()
				return
			}
			p.State(0, wire.Phase_PHASE_READY, "")
		}},
		"out of memory": {Change: func(p *fakeworker.Peer, m *wire.Change) {
			p.Send(wire.KindChanged, &wire.Changed{
				Generation: m.GetConfig().GetGeneration(), Refused: "open model: out of memory",
			})
		}},
		"the vision worker ended while it loaded it": {Change: func(p *fakeworker.Peer, _ *wire.Change) {
			p.Die()
		}},
		"the vision worker ended": {Change: func(p *fakeworker.Peer, m *wire.Change) {
			p.Take(m) // told, and not done
			p.Die()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			script.Inspect = findsOne
			c := startChanging(t, script)
			was := c.part()
			dir, _ := version(t)
			c.reload <- c.parsed(dir, "")
			refused := c.candidate(event.CandidateRefused)
			require.Contains(t, refused.Reason, name)
			require.Equal(t, "9.0.0", refused.Model.Version)
			c.awaitState(event.Ready)
			require.Eventually(t, func() bool { // a worker that died is back
				return c.part().Verdict == event.Fail
			}, 10*time.Second, 10*time.Millisecond)
			now := c.taken()[c.parts-1]
			require.Equal(t, was.Model.Digest, now.Model.Digest)
			require.Equal(t, was.RecipeID, now.RecipeID)
			require.Contains(t, get(t, c.path, "/metrics"),
				`sightline_changes_total{station="acme/dongguan/smt/line3/aoi-1",what="refused"} 1`)
		})
	}
}

func TestAConfigurationIsTakenAsAWholeOrNotAtAll(t *testing.T) {
	c := startChanging(t, fakeworker.Script{Inspect: findsOne})
	was := c.part()
	dir, next := version(t)
	for i, refused := range []*config.Loaded{
		c.parsed(dir, "evidence: {max_crops: 1}\n"),
		c.parsed(filepath.Join(dir, "none"), ""),
		c.parsed(dir, "    verdict: {classes: {scratch: {threshold: 0.7}}}\n"),
	} {
		c.reload <- refused
		c.logged(i+1, "configuration not taken")
	}
	require.Equal(t, 1, c.log.count("evidence.max_crops"))
	now := c.part()
	require.Equal(t, was.ConfigurationID, now.ConfigurationID)
	require.Equal(t, was.Model, now.Model)

	cfg := c.parsed(dir, "# once more\n")
	c.reload <- cfg
	c.logged(1, "configuration taken")
	c.reload <- cfg // the same again: taken at once
	c.logged(2, "configuration taken")
	c.runs(next.Digest)
	now = c.part()
	require.Equal(t, cfg.ID, now.ConfigurationID)
	require.Equal(t, next.Digest, now.Model.Digest)
}

// The worker takes no bundle but the one that its parts are judged by. After a reload both have the new one.
func TestABundleChangedUnderARunningAgentJudgesNoPartUntilItIsReadAgain(t *testing.T) {
	dir, was := version(t)
	c := startChanging(t, fakeworker.Script{
		Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			s := m.GetStations()[0]
			b, err := bundle.Load(s.GetBundleDir())
			if err == nil && b.Digest == s.GetBundleDigest() {
				p.State(0, wire.Phase_PHASE_READY, "")
				return
			}
			p.State(0, wire.Phase_PHASE_REFUSED, "the bundle has changed since the agent read it")
		},
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			if m.GetJob() == 2 {
				p.Die()
				return
			}
			findsOne(p, m)
		},
	})
	cfg := c.parsed(dir, "")
	c.reload <- cfg
	c.runs(was.Digest)
	require.Equal(t, was.Digest, c.part().Model.Digest)
	manifest := filepath.Join(dir, bundle.ManifestFile)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), "version: 9.0.0", "version: 9.0.1", 1))
	require.NoError(t, os.WriteFile(manifest, text, 0o600))
	require.Equal(t, "worker_died", c.part().Reason)
	require.Contains(t, c.awaitState(event.Error).Reason, "the bundle has changed since the agent read it")
	require.Equal(t, "not_ready", c.part().Reason)
	now, err := bundle.Load(dir)
	require.NoError(t, err)
	c.reload <- cfg
	c.runs(now.Digest)
	require.Equal(t, now.Digest, c.part().Model.Digest)
}

// The operator brings the bundle back that the worker has refused: nothing is new to the agent.
func TestAReloadBringsBackAStationThatWasRefused(t *testing.T) {
	var refusing atomic.Bool
	c := startChanging(t, fakeworker.Script{
		Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
			if refusing.Load() {
				p.State(0, wire.Phase_PHASE_REFUSED, "the bundle has changed since the agent read it")
				return
			}
			p.State(0, wire.Phase_PHASE_READY, "")
		},
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			if refusing.Load() {
				p.Die()
				return
			}
			findsOne(p, m)
		},
	})
	was := c.part()
	refusing.Store(true)
	require.Equal(t, "worker_died", c.part().Reason)
	c.awaitState(event.Error)
	refusing.Store(false)
	first, err := filepath.Abs(pcbDefects)
	require.NoError(t, err)
	c.reload <- c.parsed(first, "")
	c.runs(was.Model.Digest)
	require.Equal(t, event.Fail, c.part().Verdict)
}

// The first change waits for a part that does not come; what comes next is not held up by it.
func TestAConfigurationSupersedesTheOneThatWaits(t *testing.T) {
	var waits atomic.Uint64
	change := func(p *fakeworker.Peer, m *wire.Change) {
		generation := m.GetConfig().GetGeneration()
		if waits.CompareAndSwap(0, generation) {
			return
		}
		p.Send(wire.KindChanged, &wire.Changed{Generation: waits.Load(), Refused: "another change came"})
		p.Take(m)
		p.Send(wire.KindChanged, &wire.Changed{Generation: generation})
	}
	c := startChanging(t, fakeworker.Script{Inspect: findsOne, Change: change})
	was := c.part()
	dir, _ := version(t)
	c.reload <- c.parsed(dir, "")
	c.candidate(event.CandidateLoading)
	first, err := filepath.Abs(pcbDefects)
	require.NoError(t, err)
	back := c.parsed(first, "# back\n")
	c.reload <- back
	c.logged(1, "configuration taken")
	c.runs(was.Model.Digest)
	now := c.part()
	require.Equal(t, back.ID, now.ConfigurationID)
	require.Equal(t, was.Model.Digest, now.Model.Digest)
}

func TestATrialThatFallsBackIsRefusedWhereWhatRunsDoesNot(t *testing.T) {
	configured := func(p *fakeworker.Peer, m *wire.Configure) {
		s := m.GetStations()[0]
		p.Send(wire.KindStationState, &wire.StationState{
			Phase: wire.Phase_PHASE_READY, Generation: s.GetGeneration(), Provider: "cpu",
			FellBack: s.GetCamera() == "", FallbackReason: "tensorrt: CUDA out of memory",
			Model: &wire.Model{Digest: s.GetBundleDigest()},
		})
	}
	c := startChanging(t, fakeworker.Script{Inspect: findsOne, Configured: configured})
	dir, _ := version(t)
	c.reload <- c.parsed(dir, "")
	require.Contains(t, c.candidate(event.CandidateRefused).Reason, "CUDA out of memory")
}

// Nothing that was not tried goes live because the agent is asked to end.
func TestAnEndInTheMiddleOfATrialTakesNothing(t *testing.T) {
	trying := make(chan struct{})
	var changes atomic.Int64
	c := startChanging(t, fakeworker.Script{
		Inspect: findsOne,
		Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			if m.GetStations()[0].GetCamera() == "" {
				close(trying)
				return
			}
			p.State(0, wire.Phase_PHASE_READY, "")
		},
		Change: func(*fakeworker.Peer, *wire.Change) { changes.Add(1) },
	})
	dir, _ := version(t)
	c.reload <- c.parsed(dir, "")
	<-trying
	c.stop()
	require.Zero(t, changes.Load())
	require.Zero(t, c.log.count("configuration taken"))
}

func TestAShadowIsShownAndMayNotBeWrong(t *testing.T) {
	var asked atomic.Pointer[wire.StationConfig]
	change := func(p *fakeworker.Peer, m *wire.Change) {
		asked.Store(m.GetConfig())
		p.Take(m)
		p.Send(wire.KindChanged, &wire.Changed{Generation: m.GetConfig().GetGeneration()})
	}
	c := startChanging(t, fakeworker.Script{Inspect: findsOne, Change: change})
	was := c.part()
	first, err := filepath.Abs(pcbDefects)
	require.NoError(t, err)
	dir, next := version(t)
	c.reload <- c.parsed(first, "    shadow: {bundle: "+filepath.Join(dir, "none")+"}\n")
	c.logged(1, "configuration not taken")
	require.Nil(t, asked.Load())
	c.reload <- c.parsed(first, "    shadow: {bundle: "+dir+", share: 0.2}\n")
	shown := c.candidate(event.CandidateShadow)
	require.Equal(t, next.Digest, shown.Model.Digest)
	told := asked.Load()
	require.Equal(t, next.Digest, told.GetShadow().GetBundleDigest())
	require.InDelta(t, 0.2, told.GetShadow().GetShare(), 1e-9)
	require.Equal(t, told.GetGeneration(), told.GetShadow().GetGeneration())
	require.Equal(t, was.Model.Digest, c.part().Model.Digest)
	c.reload <- c.parsed(first, "    shadow: {bundle: "+dir+", share: 0.2}\n") // the same again
	c.logged(2, "configuration taken")
	require.Equal(t, told.GetGeneration(), asked.Load().GetGeneration())
	c.reload <- c.parsed(first, "")
	c.runs(was.Model.Digest)
	require.Nil(t, asked.Load().GetShadow())
}

func TestAShadowThatIsNotThereKeepsNoStationFromStarting(t *testing.T) {
	port := brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, port))
	p := connectPLC(t, port)
	cfg := configured(t, port, "    shadow: {bundle: /nonexistent/next}\n")
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(fakeworker.Script{}),
	})
	p.awaitState(event.Ready)
}
