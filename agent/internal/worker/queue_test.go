package worker

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// waits makes a frame that waits, of a part that is due at a time.
func waits(job uint64, dueNs int64) *slot { return &slot{order: order{job: job, deadlineNs: dueNs}} }

func TestThePartThatIsDueFirstComesFirst(t *testing.T) {
	const places = 200
	q, r := newQueue(places), rand.New(rand.NewPCG(7, 7))
	for job := range uint64(places) {
		q.add(waits(job, r.Int64N(9))) // 0: no deadline
	}
	require.Equal(t, places, q.len())
	var last *slot
	for range places {
		<-q.ready
		next := q.take()
		if last != nil {
			require.LessOrEqual(t, last.due(), next.due())
			if last.due() == next.due() {
				require.Less(t, last.job, next.job, "in the order of arrival")
			}
		}
		last = next
	}
	require.Zero(t, last.deadlineNs, "those without a deadline come last")
	require.Zero(t, q.len())
}

func TestARunTakesWhatWaitsAndNoFrameInTiles(t *testing.T) {
	q := newQueue(9)
	for job := range uint64(5) {
		q.add(waits(job, int64(job+1)))
	}
	tiled := waits(5, 6)
	tiled.sheet = &sheet{}
	q.add(tiled)
	q.add(waits(6, 7))
	<-q.ready
	jobs := q.fill([]*slot{q.take()}, 3)
	require.Len(t, jobs, 3)
	<-q.ready // another track is about to take one: it is left for it
	jobs = q.fill(jobs[:0], 9)
	require.Len(t, jobs, 2, "up to the frame in tiles")
	require.EqualValues(t, 3, jobs[0].job)
	require.Same(t, tiled, q.take())
	require.Len(t, q.fill(nil, 9), 1)
	require.Empty(t, q.fill(nil, 9))
}

func TestAQueueLosesNothingBetweenManyTracks(t *testing.T) {
	const jobs, tracks, most = 3000, 4, 3
	q := newQueue(jobs)
	var took [tracks][]uint64
	var done, all sync.WaitGroup
	all.Add(jobs)
	end := make(chan struct{})
	for i := range tracks {
		done.Go(func() {
			for {
				select {
				case <-q.ready:
					for _, job := range q.fill([]*slot{q.take()}, most) {
						took[i] = append(took[i], job.job)
						all.Done()
					}
				case <-end:
					return
				}
			}
		})
	}
	for job := range uint64(jobs) {
		q.add(waits(job, int64(job%7)))
	}
	all.Wait()
	close(end)
	done.Wait()
	seen := map[uint64]bool{}
	for _, list := range took {
		for _, job := range list {
			require.False(t, seen[job], "job %d was taken twice", job)
			seen[job] = true
		}
	}
	require.Len(t, seen, jobs)
}

func TestAQueueAllocatesNothing(t *testing.T) {
	q, jobs := newQueue(8), make([]*slot, 0, 8)
	frames := []*slot{waits(1, 5), waits(2, 3), waits(3, 0)}
	require.Zero(t, alloctest.Least(100, func() {
		for _, f := range frames {
			q.add(f)
		}
		<-q.ready
		jobs = q.fill(append(jobs[:0], q.take()), 8)
	}))
}

// ask asks a station for one part.
func (s *supervisor) ask(station uint32, job uint64, deadlineNs int64) {
	s.Helper()
	require.NoError(s, s.conn.Send(wire.KindInspect, &wire.Inspect{
		Station: station, Job: job, DeadlineNs: deadlineNs,
	}))
}

// gated is a runtime whose runs, once the gate is closed, say how many images they have and wait.
type gated struct {
	closed  atomic.Bool
	started chan int
	release chan struct{}
	spoil   bool // the first image of a run of several cannot be believed
}

func newGated() *gated { return &gated{started: make(chan int, 16), release: make(chan struct{})} }

func (g *gated) run(spec infer.Spec, _ <-chan struct{}) error {
	clear(spec.Outputs[0].Values)
	if !g.closed.Load() {
		<-time.After(time.Millisecond) // whatever it holds, so that a batch is taken
		return nil
	}
	g.started <- spec.Images
	<-g.release
	if g.spoil && spec.Images > 1 {
		spec.Outputs[0].Values[0] = zero() / zero()
	}
	return nil
}

// several starts stations that share a model which takes four images a run, and closes the gate.
func (g *gated) several(t *testing.T, stations int) *supervisor {
	t.Helper()
	dir := onnxtest.Batched(t, 4)
	var configs []*wire.StationConfig
	for range stations {
		c := simStation(t)
		c.BundleDir = dir
		configs = append(configs, c)
	}
	s := start(t, scripted(g.run), configs...)
	for range stations {
		s.ready()
	}
	g.closed.Store(true)
	return s
}

// While a run is under way, frames of other stations gather; the next run takes them all. What one of them
// makes of the model harms no other.
func TestFramesOfSeveralStationsShareARun(t *testing.T) {
	g := newGated()
	g.spoil = true
	s := g.several(t, 3)
	s.ask(0, 1, 0)
	require.Equal(t, 1, <-g.started)
	s.exposed()
	s.ask(1, 2, 0)
	s.exposed()
	s.ask(2, 3, 0)
	s.exposed()
	g.release <- struct{}{}
	require.EqualValues(t, 1, s.answered().GetJob())
	require.Equal(t, 2, <-g.started, "both in one run")
	g.release <- struct{}{}
	first, second := s.answered(), s.answered()
	require.Equal(t, wire.Fault_FAULT_BAD_OUTPUT, first.GetFault())
	require.Equal(t, wire.Fault_FAULT_NONE, second.GetFault(), second.GetFaultText())
	require.NotEqual(t, first.GetStation(), second.GetStation())
}

// A part that is past its deadline takes no place in a run, and a part of mode continuous, which has its
// deadline from its exposure on, comes before one that is due later.
func TestARunTakesNoPartThatIsLate(t *testing.T) {
	g := newGated()
	s := g.several(t, 4)
	s.ask(0, 1, 0)
	require.Equal(t, 1, <-g.started)
	s.exposed()
	s.ask(1, 2, monotime.Now()+int64(time.Hour))
	s.exposed()
	budget := int64(50 * time.Millisecond)
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Station: 2, Job: 3, BudgetNs: budget}))
	late := s.exposed().GetExposedNs() + budget
	budget = int64(time.Minute)
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Station: 3, Job: 4, BudgetNs: budget}))
	s.exposed()
	require.Eventually(t, func() bool { return monotime.Now() > late }, patience, time.Millisecond)
	g.release <- struct{}{}
	require.EqualValues(t, 1, s.answered().GetJob())
	require.Equal(t, 2, <-g.started, "those for which somebody waits")
	g.release <- struct{}{}
	answers := []*wire.Inspected{s.answered(), s.answered(), s.answered()}
	require.EqualValues(t, 3, answers[0].GetJob())
	require.Equal(t, wire.Fault_FAULT_CANCELLED, answers[0].GetFault())
	require.EqualValues(t, 4, answers[1].GetJob(), "it is due in a minute")
	require.Equal(t, wire.Fault_FAULT_NONE, answers[1].GetFault(), answers[1].GetFaultText())
	require.EqualValues(t, 2, answers[2].GetJob(), "and this in an hour")
}

func zero() float32 { return 0 }
