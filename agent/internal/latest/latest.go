// Package latest is the one-slot mailbox between a producer that never waits and a consumer that wants the
// newest.
package latest

import (
	"context"
	"sync/atomic"
)

// Box holds at most one value. Put replaces what is there: newest wins. Safe for one producer and one
// consumer.
type Box[T any] struct {
	slot      atomic.Pointer[T]
	wake      chan struct{}
	displaced atomic.Uint64
}

// New makes an empty box.
func New[T any]() *Box[T] {
	return &Box[T]{wake: make(chan struct{}, 1)}
}

// Put stores v and returns the value that it displaced, or nil, so that its owner can release it.
func (b *Box[T]) Put(v *T) *T {
	old := b.slot.Swap(v)
	if old != nil {
		b.displaced.Add(1)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return old
}

// Take waits for a value and takes it out, or returns the context's error.
func (b *Box[T]) Take(ctx context.Context) (*T, error) {
	for {
		if v := b.slot.Swap(nil); v != nil {
			return v, nil
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryTake takes the value out if there is one, else returns nil.
func (b *Box[T]) TryTake() *T { return b.slot.Swap(nil) }

// Ready signals at least once after a Put, for a consumer that waits for more than this box. The value may
// be gone already: TryTake tells.
func (b *Box[T]) Ready() <-chan struct{} { return b.wake }

// Waiting reports whether a value is there.
func (b *Box[T]) Waiting() bool { return b.slot.Load() != nil }

// Displaced counts the values that were replaced before anybody took them.
func (b *Box[T]) Displaced() uint64 { return b.displaced.Load() }
