package render

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

var (
	// ErrTooLarge reports an image that has too many pixels to be decoded, or needs more
	// memory than decoding may use.
	ErrTooLarge = jpeg.ErrTooLarge
	// ErrBusy reports that memory for decoding was in use for the whole time the caller was
	// willing to wait.
	ErrBusy = errors.New("other images use all memory for decoding")
)

// A Budget limits the total memory of all goroutines that decode, render or encode images.
// The memory for an image is estimated from its header, never too low, and taken from the
// budget before it is allocated. A nil Budget has no limit.
//
// A piece of work begins with [Budget.Begin]; the functions of this package take memory
// from the budget of their context. Without one there is no limit.
type Budget struct {
	size int64
	free *semaphore.Weighted
}

// NewBudget returns a budget of the given number of bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{size: bytes, free: semaphore.NewWeighted(bytes)}
}

// growWait limits how long work that already holds memory waits for more. Two that wait for
// each other would wait forever.
const growWait = 5 * time.Second

// An account is the memory that one piece of work holds of a budget. Memory that the work
// gives back stays in the account for its next image.
type account struct {
	budget  *Budget
	maxWait time.Duration // 0 for no limit

	mu         sync.Mutex
	used, held int64
}

type accountKey struct{}

// Begin returns a context for one piece of work, which takes its memory from b until end is
// called. It waits for memory until ctx is done, and at most maxWait if that is not 0. If
// ctx already has a budget, Begin returns it unchanged.
func (b *Budget) Begin(ctx context.Context, maxWait time.Duration) (work context.Context, end func()) {
	if b == nil || ctx.Value(accountKey{}) != nil {
		return ctx, func() {}
	}
	a := &account{budget: b, maxWait: maxWait}
	return context.WithValue(ctx, accountKey{}, a), a.end
}

func (a *account) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.free.Release(a.held)
	a.used, a.held = 0, 0
}

// Take takes n bytes from the budget of ctx, and waits for them if necessary. The error
// wraps [ErrTooLarge] if the work would need more than the entire budget; it is [ErrBusy]
// or that of ctx if the memory was not released in time.
func Take(ctx context.Context, n int64) error {
	if a, _ := ctx.Value(accountKey{}).(*account); a != nil {
		return a.take(ctx, n)
	}
	return nil
}

// Give gives back n bytes that were taken from the budget of ctx.
func Give(ctx context.Context, n int64) {
	if a, _ := ctx.Value(accountKey{}).(*account); a != nil {
		a.mu.Lock()
		a.used -= n
		a.mu.Unlock()
	}
}

func (a *account) take(ctx context.Context, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < 0 || n > a.budget.size-a.used {
		return fmt.Errorf("%w: it takes about %d MB of memory, and %d MB are there for decoding (a third of --memory-limit)",
			ErrTooLarge, megabytes(a.used+n), megabytes(a.budget.size))
	}
	if need := a.used + n - a.held; need > 0 {
		if err := a.acquire(ctx, need); err != nil {
			return err
		}
		a.held += need
	}
	a.used += n
	return nil
}

// acquire waits until n more bytes are free.
func (a *account) acquire(ctx context.Context, n int64) error {
	maxWait := a.maxWait
	if a.held > 0 && (maxWait == 0 || maxWait > growWait) {
		maxWait = growWait
	}
	wait := ctx
	if maxWait > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, maxWait)
		defer cancel()
	}
	if err := a.budget.free.Acquire(wait, n); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return ErrBusy
	}
	return nil
}

func megabytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
