package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/loop"
)

// A Lease is an exclusive right that is valid for a limited time. The holder may be
// suspended and continue when another one holds the lease; writes that must not happen then
// go through [Catalog.Under].
type Lease struct {
	Name   string
	Holder string
	Token  int64 // number of this acquisition; later ones have higher numbers

	h   *handle
	mu  sync.Mutex
	ttl time.Duration
	end time.Time // end by our clock, which started before the database's
}

// Leases are exclusive rights, each with a name.
type Leases struct{ *handle }

// Acquire acquires the lease with that name, for ttl from now by the database's clock.
// Holder names the owner for people to read, and must be unique: a holder that acquires a
// lease which it already holds gets a new one, and the previous one is lost.
//
// If another holder has the lease, the error is a [*HeldError].
func (ls *Leases) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	if name == "" || holder == "" || ttl <= 0 {
		return nil, fmt.Errorf("%w: a lease has a name, a holder and a time: %q, %q, %v", ErrInvalid, name, holder, ttl)
	}
	l := &Lease{Name: clean(name), Holder: clean(holder), h: ls.handle, ttl: ttl}
	err := ls.aside(ctx, func(t *sql.Tx) error {
		l.end = time.Now().Add(ttl)
		err := t.QueryRowContext(ctx, `INSERT INTO leases (name, holder, token, expires_at) VALUES ($1, $2, 1, `+ls.now+` + $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = leases.token + 1, expires_at = excluded.expires_at
			WHERE leases.expires_at <= `+ls.now+` OR leases.holder = excluded.holder RETURNING token`,
			l.Name, l.Holder, ttl.Microseconds()).Scan(&l.Token)
		if errors.Is(err, sql.ErrNoRows) {
			return ls.heldBy(ctx, t, l.Name)
		}
		return wrap(err, "lease "+l.Name)
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (ls *Leases) heldBy(ctx context.Context, t *sql.Tx, name string) error {
	var holder string
	var left int64
	err := t.QueryRowContext(ctx, `SELECT holder, expires_at - `+ls.now+` FROM leases WHERE name = $1`, name).Scan(&holder, &left)
	if err != nil {
		return wrap(err, "lease "+name)
	}
	return &HeldError{Name: name, Holder: holder, Left: time.Duration(left * 1000).Round(time.Millisecond)}
}

// A HeldError is an [ErrHeld] with the holder of the lease.
type HeldError struct {
	Name, Holder string
	Left         time.Duration // until it expires, unless it is renewed
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%v: %s: by %s, for %v more unless renewed", ErrHeld, e.Name, e.Holder, e.Left)
}

// Unwrap returns [ErrHeld].
func (e *HeldError) Unwrap() error { return ErrHeld }

// Renew extends the lease to ttl from now. A lease that has expired and has not been
// acquired since is renewed as well. The error is [ErrLeaseLost] if another holder has
// acquired it, or it was released.
func (l *Lease) Renew(ctx context.Context, ttl time.Duration) error {
	began := time.Now()
	err := l.h.aside(ctx, func(t *sql.Tx) error {
		return l.write(ctx, t, `expires_at = `+l.h.now+` + $4`, ttl.Microseconds())
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ttl, l.end = ttl, began.Add(ttl)
	return nil
}

// Release releases the lease. The error is [ErrLeaseLost] if it was lost, which callers can
// usually ignore.
func (l *Lease) Release(ctx context.Context) error {
	return l.h.aside(ctx, func(t *sql.Tx) error {
		return l.write(ctx, t, `expires_at = 0, holder = $4`, "")
	})
}

// write changes the row of the lease if the lease is still held.
func (l *Lease) write(ctx context.Context, t *sql.Tx, set string, arg any) error {
	r, err := t.ExecContext(ctx, `UPDATE leases SET `+set+` WHERE name = $1 AND token = $2 AND holder = $3`, l.Name, l.Token, l.Holder, arg)
	if err != nil {
		return wrap(err, "lease "+l.Name)
	}
	if n, err := r.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%w: %s", ErrLeaseLost, l.Name)
	}
	return nil
}

// prove returns nil if the lease is held, and keeps it so until the end of the transaction:
// another holder has to wait. A nil lease is always held.
func (l *Lease) prove(ctx context.Context, t *sql.Tx) error {
	if l == nil {
		return nil
	}
	var one int
	err := t.QueryRowContext(ctx, `SELECT 1 FROM leases WHERE name = $1 AND token = $2 AND expires_at > `+l.h.now+l.h.hold, l.Name, l.Token).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %s", ErrLeaseLost, l.Name)
	}
	return wrap(err, "lease "+l.Name)
}

// Held returns the names of the leases that are held.
func (ls *Leases) Held(ctx context.Context) (map[string]bool, error) {
	rows, err := ls.read.QueryContext(ctx, `SELECT name FROM leases WHERE expires_at > `+ls.now)
	if err != nil {
		return nil, wrap(err, "leases")
	}
	defer rows.Close()
	held := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, wrap(err, "leases")
		}
		held[name] = true
	}
	return held, wrap(rows.Err(), "leases")
}

// Under returns a view of the catalog that reads like c, and writes only while l is held:
// each transaction checks it. A write after the lease has expired, or another holder has
// it, fails with [ErrLeaseLost] and changes nothing. The view shares the connections of c
// and need not be closed.
//
// Leases and heartbeats are not checked.
func (c *Catalog) Under(l *Lease) *Catalog { return of(&handle{connections: c.connections, lease: l}) }

// Keep renews the lease after each third of its duration until ctx is done or stop is
// called. It returns a context that is cancelled with the cause [ErrLeaseLost] when another
// holder has the lease, or when it cannot be renewed before it expires. Stop waits until
// the renewal has ended, and does not release the lease.
func (l *Lease) Keep(ctx context.Context) (kept context.Context, stop func()) {
	kept, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(loop.Try(func() error { return l.keep(kept) }))
	}()
	return kept, func() {
		cancel(context.Canceled)
		<-done
	}
}

// keep renews the lease until it is lost or ctx is done, and returns the reason.
func (l *Lease) keep(ctx context.Context) error {
	for {
		l.mu.Lock()
		ttl, end := l.ttl, l.end
		l.mu.Unlock()
		// At most a third of the time left, to allow another attempt after an outage of the
		// database.
		wait := min(ttl, time.Until(end)) / 3
		if wait < ttl/100 {
			return fmt.Errorf("%w: %s: it could not be renewed in time", ErrLeaseLost, l.Name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		try, cancel := context.WithDeadline(ctx, end)
		err := l.Renew(try, ttl)
		cancel()
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
	}
}

// aside runs f in a transaction that changes no image and no store: it does not wait for
// other writers unless the database requires it, uses no change number and wakes no
// watcher. It may run f more than once.
func (h *handle) aside(ctx context.Context, f func(*sql.Tx) error) error {
	return h.db.Retry(ctx, func() error {
		t, err := h.write.BeginTx(ctx, nil)
		if err != nil {
			return wrap(err, "begin")
		}
		defer t.Rollback() //nolint:errcheck // after a commit this has no effect
		if err := f(t); err != nil {
			return err
		}
		return wrap(t.Commit(), "commit")
	})
}
