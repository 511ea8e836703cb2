package rendercache

import (
	"context"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/tile"
)

const (
	// workTime is how long an image may occupy a worker. Few need seconds. Rendering that
	// waits for a file system that is down never ends and cannot be cancelled. It is then
	// abandoned: its worker renders other images, and it keeps its memory until it ends.
	workTime = 10 * time.Second
	// maxAbandoned is how many images of a store may be abandoned. With as many, no other
	// image of the store is rendered.
	maxAbandoned = 2
)

// start renders an image on a goroutine of its own, which remains if work never returns.
func (k *Renderer) start(ctx context.Context, lease tile.Lease, work func(context.Context) ([]byte, error)) *flight {
	ctx, stop := context.WithTimeout(ctx, k.o.Timeout)
	f := &flight{done: make(chan struct{}), late: ctx.Done(), callers: 1, stop: stop}
	release := func() {}
	if lease.Hold != nil {
		release = lease.Hold()
	}
	go func() {
		f.err = errRender // if work does not return
		defer func() {
			if p := recover(); p != nil {
				f.err = fmt.Errorf("%w: %v", errRender, p)
			}
			release()
			close(f.done)
			stop() // only now, so that a caller who sees late closed sees the image too
		}()
		f.body, f.err = work(ctx)
	}()
	return f
}

// wait returns the image when it has been rendered. It returns at the timeout also if the
// work has not ended.
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

// work renders an image of a store on a worker.
func (k *Renderer) work(ctx context.Context, store string, s size, build func(context.Context) ([]byte, error)) ([]byte, error) {
	if k.away(store) {
		return nil, tile.ErrUnreachable
	}
	free, err := k.begin(ctx, s)
	if err != nil {
		return nil, err
	}
	return k.limited(ctx, store, free, build)
}

// limited renders an image, and calls free once: when it has ended, or after [workTime].
// The error is [tile.ErrUnreachable] if too many images of the store take longer.
func (k *Renderer) limited(ctx context.Context, store string, free func(), build func(context.Context) ([]byte, error)) ([]byte, error) {
	ended := k.overdue(store).Watch(workTime, free)
	defer func() {
		if ended() {
			free()
		}
	}()
	if k.away(store) { // while it waited for its worker
		return nil, tile.ErrUnreachable
	}
	ctx, end := k.o.Memory.Begin(ctx, k.o.MaxWait)
	defer end()
	b, err := build(ctx)
	return b, refused(err)
}

// away reports whether the maximum number of images of the store has been abandoned.
func (k *Renderer) away(store string) bool { return k.overdue(store).Count() >= maxAbandoned }

// overdue counts the abandoned images of a store.
func (k *Renderer) overdue(store string) *tile.Overdue {
	if v, ok := k.stores.Load(store); ok {
		return v.(*tile.Overdue)
	}
	v, _ := k.stores.LoadOrStore(store, new(tile.Overdue))
	return v.(*tile.Overdue)
}
