package latest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewestWinsAndTheDisplacedComeBack(t *testing.T) {
	b := New[int]()
	one, two, three := 1, 2, 3
	require.Nil(t, b.TryTake())
	require.Nil(t, b.Put(&one))
	require.Same(t, &one, b.Put(&two))
	require.Same(t, &two, b.Put(&three))
	require.EqualValues(t, 2, b.Displaced())
	require.True(t, b.Waiting())

	got, err := b.Take(t.Context())
	require.NoError(t, err)
	require.Same(t, &three, got)
	require.False(t, b.Waiting())
	require.Nil(t, b.TryTake(), "a value is taken once")
	require.EqualValues(t, 2, b.Displaced(), "a taken value is not displaced")
}

func TestTakeWaitsForPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New[int]()
		v := 5
		time.AfterFunc(time.Second, func() { b.Put(&v) })
		start := time.Now()
		got, err := b.Take(t.Context())
		require.NoError(t, err)
		require.Same(t, &v, got)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New[int]()
		v := 5
		b.Put(&v)
		require.NotNil(t, b.TryTake()) // leaves a wake-up without a value: Take must go on waiting
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Take(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestEveryValueIsTakenOrDisplacedExactlyOnce(t *testing.T) {
	const n = 20000
	b := New[int]()
	values := make([]int, n)
	go func() {
		for i := range values {
			values[i] = i + 1
			b.Put(&values[i])
		}
	}()
	taken, last := uint64(0), 0
	for last != n {
		v, err := b.Take(t.Context())
		require.NoError(t, err)
		require.Greater(t, *v, last, "values come in order")
		last = *v
		taken++
	}
	require.EqualValues(t, n, taken+b.Displaced())
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	b := New[int]()
	v := 1
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		b.Put(&v)
		b.Put(&v)
		_, _ = b.Take(ctx)
	}))
}
