// Package alloctest counts Go's heap allocations, for tests of loops that allocate nothing.
package alloctest

import "runtime"

// rounds is how often the runtime may disturb a count: it allocates, too, when it starts a thread or notes a
// goroutine that waits (measured: up to 50 in a round of 500 parts with the race detector, mostly none).
const rounds = 20

// Least runs f n times in a round and returns the fewest allocations of a round, in all goroutines of the
// process. It ends with the first round without any, after 20 at the latest. What f itself allocates at least
// once in n runs is in every round; testing.AllocsPerRun rounds anything below once a run down to 0.
func Least(n int, f func()) uint64 {
	least := count(n, f)
	for round := 1; least > 0 && round < rounds; round++ {
		least = min(least, count(n, f))
	}
	return least
}

func count(n int, f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}
