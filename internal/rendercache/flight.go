package rendercache

import (
	"context"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/tile"
)

const (
	// workTime is how long a picture keeps its worker. Few need seconds; one that waits
	// for a file system that is away never ends, and cannot be called off. It is then
	// abandoned: its worker makes other pictures, and it keeps its memory until it ends.
	workTime = 10 * time.Second
	// maxAbandoned is how many pictures of a store are at work without a worker. Where
	// there are as many, no other picture of the store is begun.
	maxAbandoned = 2
)

// start has a picture made on a goroutine of its own, which stays if the work never
// returns.
func (k *Renderer) start(ctx context.Context, lease tile.Lease, work func(context.Context) ([]byte, error)) *flight {
	ctx, stop := context.WithTimeout(ctx, k.o.Timeout)
	f := &flight{done: make(chan struct{}), late: ctx.Done(), wanted: 1, stop: stop}
	release := func() {}
	if lease.Hold != nil {
		release = lease.Hold()
	}
	go func() {
		f.err = errMaking // if work does not return
		defer func() {
			if p := recover(); p != nil {
				f.err = fmt.Errorf("%w: %v", errMaking, p)
			}
			release()
			close(f.done)
			stop() // only now, so that who sees that it is late sees the picture too
		}()
		f.body, f.err = work(ctx)
	}()
	return f
}

// wait returns the picture once it is made. It does not wait for longer than the work may
// take, whether that has ended or not.
func (f *flight) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-f.done:
		return f.body, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.late:
	}
	select {
	case <-f.done:
		return f.body, f.err
	default:
		return nil, context.DeadlineExceeded
	}
}

// work makes a picture of a store on a worker.
func (k *Renderer) work(ctx context.Context, store string, build func(context.Context) ([]byte, error)) ([]byte, error) {
	if k.away(store) {
		return nil, tile.ErrAway
	}
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	return k.limited(ctx, store, func() { <-k.workers }, build)
}

// limited makes a picture, and calls free once: when it has ended, or when it has been at
// work for [workTime]. The error is [tile.ErrAway] if too many of the store are at work
// for longer than that.
func (k *Renderer) limited(ctx context.Context, store string, free func(), build func(context.Context) ([]byte, error)) ([]byte, error) {
	defer k.watch(store, free)()
	if k.away(store) { // while it waited for its worker
		return nil, tile.ErrAway
	}
	ctx, end := k.o.Memory.Begin(ctx, k.o.MaxWait)
	defer end()
	b, err := build(ctx)
	return b, refused(err)
}

// away reports whether as many pictures of the store have been abandoned as may be.
func (k *Renderer) away(store string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.abandoned[store] >= maxAbandoned
}

// watch abandons a picture that is at work for longer than [workTime]. The function it
// returns says that the work has ended.
func (k *Renderer) watch(store string, free func()) (ended func()) {
	isAbandoned, hasEnded := false, false // under mu
	timer := time.AfterFunc(workTime, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !hasEnded {
			isAbandoned = true
			k.abandoned[store]++
			free()
		}
	})
	return func() {
		timer.Stop()
		k.mu.Lock()
		defer k.mu.Unlock()
		hasEnded = true
		if !isAbandoned {
			free()
			return
		}
		if k.abandoned[store]--; k.abandoned[store] == 0 {
			delete(k.abandoned, store)
		}
	}
}
