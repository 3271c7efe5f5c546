package vision_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// inboxes keep what is delivered to each station.
type inboxes struct {
	all [3]inbox
}

func (i *inboxes) deliver(station int, m any) { i.all[station].deliver(0, m) }

// crew starts fake workers for three stations and tells how each process was configured. Each Inspect is
// answered, but by the station with its job's camera exhausted, which says so.
type crew struct {
	*vision.Crew
	*inboxes

	mu         sync.Mutex
	configured []*wire.Configure
	launched   []vision.Process
}

const (
	hangs = 99 // a job whose capture hangs for the last time
	slow  = 98 // a generation that takes for ever
)

func startCrew(t *testing.T) *crew {
	t.Helper()
	return startCrewAbove(t, 0)
}

// startCrewAbove has its workers replaced from so many bytes of memory on.
func startCrewAbove(t *testing.T, recycle int64) *crew {
	t.Helper()
	c := &crew{inboxes: &inboxes{}}
	script := fakeworker.Script{
		Configured: func(p *fakeworker.Peer, m *wire.Configure) {
			c.mu.Lock()
			c.configured = append(c.configured, m)
			c.mu.Unlock()
			for i := range m.GetStations() {
				p.State(uint32(i), wire.Phase_PHASE_READY, "")
			}
		},
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			if m.GetJob() == hangs {
				p.State(m.GetStation(), wire.Phase_PHASE_EXHAUSTED, "4 captures hang")
				return
			}
			p.Answer(m)
		},
	}
	script.Change = func(p *fakeworker.Peer, m *wire.Change) {
		if m.GetConfig().GetGeneration() == slow {
			return
		}
		p.Take(m)
		p.Send(wire.KindChanged, &wire.Changed{
			Station: m.GetStation(), Generation: m.GetConfig().GetGeneration(),
		})
	}
	launch := fakeworker.Launch(script)
	c.Crew = vision.StartCrew(t.Context(), vision.Options{
		Launch: func(ctx context.Context) (vision.Process, error) {
			p, err := launch(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.launched = append(c.launched, p)
			return p, err
		},
		Deliver: c.deliver, Log: quiet(), RecycleAbove: recycle, Idle: time.Second,
		Configure: &wire.Configure{InferenceThreads: 2, Stations: []*wire.StationConfig{
			{Name: "a", Camera: "sim:"}, {Name: "b", Camera: "rtsp://b"}, {Name: "c", Camera: "sim:"},
		}},
	})
	t.Cleanup(c.Close)
	for i := range c.all {
		await[*wire.StationState](t, &c.all[i], 1)
	}
	return c
}

func (c *crew) processes() []*wire.Configure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*wire.Configure(nil), c.configured...)
}

// last is the station's last message of a kind.
func last[M any](t *testing.T, i *inbox) M {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, any := range slices.Backward(i.all) {
		if m, ok := any.(M); ok {
			return m
		}
	}
	t.Fatal("no such message")
	return *new(M)
}

func TestAStationWhoseCapturesHangGetsAWorkerOfItsOwn(t *testing.T) {
	c := startCrew(t)
	require.EqualValues(t, 1, c.Starts(), "one worker for all")
	require.NoError(t, c.Inspect(&wire.Inspect{Station: 1, Job: hangs}))
	await[vision.Died](t, &c.all[1], 1)
	require.ErrorIs(t, last[vision.Died](t, &c.all[1]).Err, vision.ErrParted)
	await[*wire.StationState](t, &c.all[1], 3)
	require.Equal(t, wire.Phase_PHASE_READY, last[*wire.StationState](t, &c.all[1]).GetPhase())
	require.EqualValues(t, 2, c.Starts())
	require.Zero(t, c.Deaths())
	own := c.processes()[1]
	require.Len(t, own.GetStations(), 1)
	require.Equal(t, "rtsp://b", own.GetStations()[0].GetCamera())
	require.EqualValues(t, 2, own.GetInferenceThreads())

	for station := range uint32(3) {
		require.NoError(t, c.Inspect(&wire.Inspect{Station: station, Job: 7}))
	}
	for i := range c.all {
		await[*wire.Inspected](t, &c.all[i], 1)
		require.EqualValues(t, 7, last[*wire.Inspected](t, &c.all[i]).GetJob())
	}
	require.Zero(t, count[vision.Died](&c.all[0])+count[vision.Died](&c.all[2]), "the others lose nothing")
	require.NoError(t, c.Settle(&wire.Settle{Station: 1, Job: 7}))

	require.NoError(t, c.Inspect(&wire.Inspect{Station: 1, Job: hangs}))
	await[*wire.StationState](t, &c.all[1], 4)
	require.NoError(t, c.Inspect(&wire.Inspect{Station: 1, Job: 8}))
	await[*wire.Inspected](t, &c.all[1], 2)
	require.EqualValues(t, 2, c.Starts(), "it is parted once")
}

func TestTheSharedWorkerOpensNoCameraThatHasLeftIt(t *testing.T) {
	c := startCrew(t)
	require.NoError(t, c.Inspect(&wire.Inspect{Station: 1, Job: hangs}))
	await[*wire.StationState](t, &c.all[1], 3)
	c.mu.Lock()
	c.launched[0].Kill()
	c.mu.Unlock()
	await[vision.Died](t, &c.all[0], 1)
	await[*wire.StationState](t, &c.all[0], 2)
	var again *wire.Configure
	require.Eventually(t, func() bool {
		all := c.processes()
		again = all[len(all)-1]
		return len(all) == 3
	}, 10*time.Second, time.Millisecond)
	require.Len(t, again.GetStations(), 3)
	require.Empty(t, again.GetStations()[1].GetCamera())
	require.Equal(t, "sim:", again.GetStations()[2].GetCamera())
	require.Equal(t, 1, count[vision.Died](&c.all[1]), "it has another worker, which lives")
}

func TestTheSharedWorkerEndsWithItsLastStation(t *testing.T) {
	c := startCrew(t)
	for station := range uint32(3) {
		require.NoError(t, c.Inspect(&wire.Inspect{Station: station, Job: hangs}))
	}
	for i := range c.all {
		await[*wire.StationState](t, &c.all[i], 3)
	}
	require.EqualValues(t, 4, c.Starts())
	require.Zero(t, c.Deaths())
	for station := range uint32(3) {
		require.NoError(t, c.Inspect(&wire.Inspect{Station: station, Job: 8}))
	}
	for i := range c.all {
		await[*wire.Inspected](t, &c.all[i], 1)
	}
}

func TestACrewThatIsClosedTakesNothing(t *testing.T) {
	c := startCrew(t)
	c.Close()
	require.ErrorIs(t, c.Inspect(&wire.Inspect{Station: 2, Job: 1}), vision.ErrDown)
	require.Nil(t, c.Counts(2))
}

// What a worker died of may have been what only looked on.
func TestAWorkerThatDiesComesBackWithoutItsShadows(t *testing.T) {
	c := startCrew(t)
	require.NoError(t, c.Change(0, &wire.StationConfig{
		Name: "a", Camera: "sim:", Generation: 7, Shadow: &wire.StationConfig{BundleDir: "next"},
	}))
	await[*wire.Changed](t, &c.all[0], 1)
	c.mu.Lock()
	c.launched[0].Kill()
	c.mu.Unlock()
	require.Eventually(t, func() bool { return len(c.processes()) == 2 }, 10*time.Second, time.Millisecond)
	back := c.processes()[1].GetStations()[0]
	require.EqualValues(t, 7, back.GetGeneration())
	require.Nil(t, back.GetShadow())
}
