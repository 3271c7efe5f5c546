package worker

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// niceness is that of a thread, 0: of the caller.
func niceness(t *testing.T, tid int) int {
	t.Helper()
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	require.NoError(t, err)
	return 20 - raw
}

func TestALoadStepsBackAndNobodyElse(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	usual, loading := niceness(t, 0), 0
	quietly(func() { loading = niceness(t, 0) })
	if loading == usual {
		t.Skip("no thread's priority can be raised again here")
	}
	require.Equal(t, min(usual+quiet, lowPriority), loading)
	require.Equal(t, usual, niceness(t, 0))
}

func TestThreadsThatALoadLeavesBehindHaveTheirPriority(t *testing.T) {
	if !canRaise() {
		t.Skip("no thread's priority can be raised again here")
	}
	usual, before := niceness(t, 0), threads()
	const more = 5
	count := len(before) + more // goroutines with a thread of their own: some of these are new
	end, tids := make(chan struct{}), make(chan int)
	var all sync.WaitGroup
	for range count {
		all.Go(func() {
			runtime.LockOSThread() // never unlocked
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, usual+1)
			tids <- unix.Gettid()
			<-end
		})
	}
	fresh := 0
	var started []int
	for range count {
		started = append(started, <-tids)
	}
	forward(before, usual)
	for _, tid := range started {
		want := usual + 1
		if !before[tid] {
			fresh++
			want = usual
		}
		require.Equal(t, want, niceness(t, tid))
	}
	require.GreaterOrEqual(t, fresh, more)
	close(end)
	all.Wait()
}

// canRaise says whether a thread's priority can be raised again.
func canRaise() (ok bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		_, ok = stepBack()
	}()
	<-done
	return ok
}
