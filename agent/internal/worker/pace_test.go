package worker

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestALaneIsFreeWhenItsFirstTrackIsAndTheQueueIsDone(t *testing.T) {
	const now, usual = int64(1e9), int64(30e6)
	a, b := &track{engine: &comparison{}}, &track{engine: &comparison{}}
	l := &lane{manifest: &bundle.Manifest{}, tracks: []*track{a, b}, jobs: newQueue(4)}
	free := func() int64 {
		at, run := l.freeAt(now)
		require.Equal(t, usual, run)
		return at
	}
	a.usualNs.Store(usual)
	b.usualNs.Store(usual)
	require.Equal(t, now, free())
	a.jobNs.Store(now - usual/3)
	require.Equal(t, now, free(), "one is idle")
	b.jobNs.Store(now - usual/2)
	require.Equal(t, now+usual/2, free(), "the one that began first")
	l.jobs.add(&slot{})
	require.Equal(t, now+usual*2/3, free(), "the other takes the one that waits")
	l.jobs.add(&slot{})
	require.Equal(t, now+usual/2+usual, free(), "after those that wait already")
	a.jobNs.Store(now - 2*usual)
	require.Equal(t, now+usual, free(), "a run that is late ends now, at the soonest")
}

func TestAFrameIsTakenAsLateAsItsPreparationAllows(t *testing.T) {
	const free, usual = int64(1e9), int64(32e6)
	p := newPace()
	for range 100 {
		p.took(2e6)
	}
	require.Equal(t, free-2e6-usual/8-int64(margin), p.until(free, usual))
	for range 100 {
		p.took(1e9) // a camera slower than the model: the lane idles anyway
	}
	require.Equal(t, free-usual/2-usual/8-int64(margin), p.until(free, usual))
}

// With requests outstanding all the time, a frame is one run old when it is answered, and not two.
func TestFramesAreFreshThoughTheLaneIsAlwaysBusy(t *testing.T) {
	const run, parts = 100 * time.Millisecond, 15 // long beside what a busy machine delays
	station := simStation(t)
	station.Camera = "sim:?seed=1&prerender=4"
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		timer := time.NewTimer(run)
		defer timer.Stop()
		<-timer.C
		return twoDetections(spec, stop)
	}), station)
	s.ready()
	next := uint64(0)
	ask := func() {
		next++
		s.inspect(next, 0)
	}
	ask()
	ask()
	var ages, gaps []time.Duration
	last := time.Now()
	for len(ages) < parts {
		m := s.answered()
		ages, gaps = append(ages, monotime.Since(m.GetExposedNs())), append(gaps, time.Since(last))
		last = time.Now()
		ask()
	}
	slices.Sort(ages)
	slices.Sort(gaps)
	t.Logf("medians: age %s, from answer to answer %s", ages[parts/2], gaps[parts/2])
	require.Less(t, ages[parts/2], run*3/2)
	require.Less(t, gaps[parts/2], run*3/2, "and the lane hardly waits")
}
