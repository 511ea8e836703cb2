package render

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

var (
	// ErrTooLarge reports an image that takes more memory than there is for decoding,
	// or has more pixels than are decoded.
	ErrTooLarge = errors.New("render: too large to be decoded")
	// ErrBusy reports that others use the memory for decoding, and did so for as long
	// as it was worth waiting.
	ErrBusy = errors.New("render: other pictures take the memory for decoding")
)

// A Budget bounds the memory that everything in a process takes together which decodes,
// draws or encodes images. What an image needs is estimated from its header, never too
// low, and taken from the budget before it is allocated. A nil one has no bound.
//
// A piece of work begins with [Budget.Begin]; the functions of this package take from the
// context they are given. Without a budget in it they take from none.
type Budget struct {
	size int64
	free *semaphore.Weighted
}

// NewBudget returns a budget of that many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{size: bytes, free: semaphore.NewWeighted(bytes)}
}

// growPatience is how long work waits for more memory that has some already. Two that
// wait for one another would wait for ever.
const growPatience = 5 * time.Second

// An account is what one piece of work has of a budget. What it has given back to the
// account it keeps for its next image.
type account struct {
	budget   *Budget
	patience time.Duration // 0 without a bound

	mu         sync.Mutex
	used, held int64
}

type accountKey struct{}

// Begin returns a context for one piece of work, which takes its memory from b until end
// is called. It waits for memory as long as ctx lasts, and if patience is not 0 no longer
// than that. In a context that has a budget already it begins nothing new.
func (b *Budget) Begin(ctx context.Context, patience time.Duration) (work context.Context, end func()) {
	if b == nil || ctx.Value(accountKey{}) != nil {
		return ctx, func() {}
	}
	a := &account{budget: b, patience: patience}
	return context.WithValue(ctx, accountKey{}, a), a.end
}

func (a *account) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.free.Release(a.held)
	a.used, a.held = 0, 0
}

// Take takes n bytes from the budget of ctx, and waits for them if need be. The error
// wraps [ErrTooLarge] if the work would need more than the whole budget, and is
// [ErrBusy] or that of ctx if they did not come free.
func Take(ctx context.Context, n int64) error {
	if a, _ := ctx.Value(accountKey{}).(*account); a != nil {
		return a.take(ctx, n)
	}
	return nil
}

// Give gives back n bytes that were taken in ctx.
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

// acquire waits for n more bytes.
func (a *account) acquire(ctx context.Context, n int64) error {
	patience := a.patience
	if a.held > 0 && (patience == 0 || patience > growPatience) {
		patience = growPatience
	}
	wait := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, patience)
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
