package worker

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
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

// counting is an engine of four images a run, which cannot believe its output of the first.
type counting struct {
	runs []int
	due  int64
}

var errUnbelievable = fmt.Errorf("%w: NaN", decode.ErrOutput)

func (*counting) Images() int { return 4 }

func (e *counting) Infer(canvases []*tensor.Canvas, deadlineNs int64) []infer.Result {
	e.runs, e.due = append(e.runs, len(canvases)), deadlineNs
	results := make([]infer.Result, len(canvases))
	results[0].Err = errUnbelievable
	return results
}

func (*counting) Close() error { return nil }

// inspected takes the frames of parts that wait, of as many stations, in one go, and tells their answers.
func inspected(e *counting, dueNs ...int64) (faults []wire.Fault) {
	q, tr := newQueue(len(dueNs)), &track{engine: e}
	for i, due := range dueNs {
		job := waits(uint64(i), due)
		job.station, job.frame, job.answer = &station{index: uint32(i)}, &frame.Frame{}, &wire.Inspected{}
		job.rig = &rig{}
		q.add(job)
	}
	<-q.ready
	tr.jobs = q.fill([]*slot{q.take()}, e.Images())
	tr.inspect()
	for _, job := range tr.jobs {
		faults = append(faults, job.answer.GetFault())
	}
	return faults
}

// What one station's frame makes of the model harms no other's.
func TestFramesOfSeveralStationsShareARun(t *testing.T) {
	e := &counting{}
	hour := monotime.Now() + int64(time.Hour)
	require.Equal(t, []wire.Fault{wire.Fault_FAULT_BAD_OUTPUT, wire.Fault_FAULT_NONE, wire.Fault_FAULT_NONE},
		inspected(e, hour, hour+2, hour+1))
	require.Equal(t, []int{3}, e.runs, "all in one run")
	require.Equal(t, hour+2, e.due, "which ends with the part that is due last")
	inspected(e, hour, 0)
	require.Zero(t, e.due, "and never while one has no deadline")
}

func TestARunTakesNoPartThatIsLate(t *testing.T) {
	e := &counting{}
	now := monotime.Now()
	hour := now + int64(time.Hour)
	require.Equal(t, []wire.Fault{
		wire.Fault_FAULT_CANCELLED, wire.Fault_FAULT_BAD_OUTPUT, wire.Fault_FAULT_NONE,
	}, inspected(e, hour, now-1, hour+1))
	require.Equal(t, []int{2}, e.runs)
	require.Equal(t, []wire.Fault{wire.Fault_FAULT_CANCELLED}, inspected(e, now-1))
	require.Equal(t, []int{2}, e.runs, "nobody waits: there is no run")
}

// A part of mode continuous has its deadline from its exposure on.
func TestABudgetBeginsWithTheExposure(t *testing.T) {
	s := start(t, scripted(twoDetections), simStation(t))
	s.ready()
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Job: 1, BudgetNs: 1}))
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_CANCELLED, s.answered().GetFault())
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Job: 2, BudgetNs: int64(time.Minute)}))
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_NONE, s.answered().GetFault())
}
