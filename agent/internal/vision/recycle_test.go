package vision_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// The fake worker says that it is this process, which takes more than a byte.
func TestAWorkerThatGrewIsReplacedOnceNoPartComes(t *testing.T) {
	t.Parallel()
	c := startCrewAbove(t, 1)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	parts := 0
	part := func() {
		<-tick.C
		parts++
		require.NoError(t, c.Inspect(&wire.Inspect{Station: 2, Job: uint64(parts)}))
		await[*wire.Inspected](t, &c.all[2], parts)
	}
	require.NoError(t, c.Change(0, &wire.StationConfig{Name: "a", Camera: "sim:", Generation: 7}))
	await[*wire.Changed](t, &c.all[0], 1)
	for range 25 { // longer than a worker without a part is left alone
		part()
	}
	require.EqualValues(t, 1, c.Starts(), "while parts come")
	await[vision.Died](t, &c.all[1], 1)
	require.ErrorIs(t, last[vision.Died](t, &c.all[1]).Err, vision.ErrRecycled)
	require.Eventually(t, func() bool { return len(c.processes()) == 2 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 7, c.processes()[1].GetStations()[0].GetGeneration(), "as it was changed to")
	require.Zero(t, c.Deaths())
	require.Eventually(t, func() bool { return c.Inspect(&wire.Inspect{Station: 1, Job: 500}) == nil },
		10*time.Second, time.Millisecond)
	await[*wire.Inspected](t, &c.all[1], 1)
}

// While a change is under way a worker holds two models.
func TestAWorkerIsNotReplacedInTheMiddleOfAChange(t *testing.T) {
	t.Parallel()
	c := startCrewAbove(t, 1)
	require.NoError(t, c.Change(0, &wire.StationConfig{Name: "a", Camera: "sim:", Generation: slow}))
	time.AfterFunc(3*time.Second, func() { _ = c.Inspect(&wire.Inspect{Station: 2, Job: 1}) })
	await[*wire.Inspected](t, &c.all[2], 1)
	require.EqualValues(t, 1, c.Starts())
}

func TestAWorkerThatNeverChangedIsNotReplaced(t *testing.T) {
	t.Parallel()
	c := startCrewAbove(t, 1)
	time.AfterFunc(3*time.Second, func() { _ = c.Inspect(&wire.Inspect{Job: 1}) })
	await[*wire.Inspected](t, &c.all[0], 1)
	require.EqualValues(t, 1, c.Starts())
}
