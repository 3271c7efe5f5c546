package worker

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
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

func TestARunEndsWithThePartThatIsDueLast(t *testing.T) {
	require.EqualValues(t, 9, latest([]*slot{waits(1, 9), waits(2, 4)}))
	require.Zero(t, latest([]*slot{waits(1, 9), waits(2, 0), waits(3, 4)}))
}

// ask asks a station for one part.
func (s *supervisor) ask(station uint32, job uint64, deadlineNs int64) {
	s.Helper()
	require.NoError(s, s.conn.Send(wire.KindInspect, &wire.Inspect{
		Station: station, Job: job, DeadlineNs: deadlineNs,
	}))
}

// While a run is under way, frames of other stations gather; the next run takes them all. What one of them
// makes of the model harms no other.
func TestFramesOfSeveralStationsShareARun(t *testing.T) {
	const stations, most = 3, 4
	dir := onnxtest.Batched(t, most)
	started, release := make(chan int, 16), make(chan struct{})
	var gated sync.Mutex
	waiting := false
	r := scripted(func(spec infer.Spec, _ <-chan struct{}) error {
		gated.Lock()
		gate := waiting
		gated.Unlock()
		if !gate {
			<-time.After(time.Millisecond) // whatever it holds, so that a batch is taken
			clear(spec.Outputs[0].Values)
			return nil
		}
		started <- spec.Images
		<-release
		clear(spec.Outputs[0].Values)
		if spec.Images > 1 { // the first image's output cannot be believed
			spec.Outputs[0].Values[0] = zero() / zero()
		}
		return nil
	})
	var configs []*wire.StationConfig
	for range stations {
		c := simStation(t)
		c.BundleDir = dir
		configs = append(configs, c)
	}
	s := start(t, r, configs...)
	for range stations {
		s.ready()
	}
	gated.Lock()
	waiting = true
	gated.Unlock()
	s.ask(0, 1, 0)
	require.Equal(t, 1, <-started)
	s.exposed()
	s.ask(1, 2, 0)
	s.exposed()
	s.ask(2, 3, 0)
	s.exposed()
	release <- struct{}{}
	require.EqualValues(t, 1, s.answered().GetJob())
	require.Equal(t, 2, <-started, "both in one run")
	release <- struct{}{}
	first, second := s.answered(), s.answered()
	require.Equal(t, wire.Fault_FAULT_BAD_OUTPUT, first.GetFault())
	require.Equal(t, wire.Fault_FAULT_NONE, second.GetFault(), second.GetFaultText())
	require.NotEqual(t, first.GetStation(), second.GetStation())
}

func zero() float32 { return 0 }
