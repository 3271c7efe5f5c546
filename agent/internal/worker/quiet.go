package worker

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// quiet is by how much a load steps back behind parts that are inspected meanwhile, as a nice value: they
// have ten times its share of a core.
const quiet = 10

// quietly runs a load on a thread of low priority, which ends with it. Threads that it starts and leaves
// behind are to infer: they get back what they would have had. Where the kernel does not allow that (it wants
// CAP_SYS_NICE or RLIMIT_NICE) the load has the priority of parts.
func quietly(load func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		usual, ok := stepBack()
		if !ok {
			load()
			return
		}
		before := threads()
		load()
		forward(before, usual)
	}()
	<-done
}

// forward gives threads that were not there before their priority.
func forward(before map[int]bool, usual int) {
	for tid := range threads() {
		if !before[tid] {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, usual) // it may have ended
		}
	}
}

// stepBack lowers the priority of the calling thread, if it could be raised again, and returns what it was.
func stepBack() (usual int, ok bool) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0, false
	}
	usual = 20 - raw // the system call never returns a negative number: see getpriority(2)
	err = unix.Setpriority(unix.PRIO_PROCESS, 0, usual+1)
	if err == nil {
		err = unix.Setpriority(unix.PRIO_PROCESS, 0, usual)
	}
	if err != nil {
		return usual, false
	}
	return usual, unix.Setpriority(unix.PRIO_PROCESS, 0, min(usual+quiet, lowPriority)) == nil
}

// threads are those of this process.
func threads() map[int]bool {
	all := map[int]bool{}
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return all
	}
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			all[tid] = true
		}
	}
	return all
}
