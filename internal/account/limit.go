package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A LimitError means too many attempts. It is [ErrTooMany].
type LimitError struct {
	Wait time.Duration // until the next attempt is allowed
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrTooMany, e.Wait)
}

// Is reports whether target is [ErrTooMany].
func (e *LimitError) Is(target error) bool { return target == ErrTooMany }

// A limit allows some free failures; each further one doubles the wait, from a second to
// most. One failure is forgotten per fade.
type limit struct {
	free       int64
	most, fade time.Duration
}

var (
	// An attacker who guesses a user's password from many addresses must not be able to
	// lock the user out for long.
	nameLimit = limit{free: 5, most: time.Minute, fade: 5 * time.Minute}
	// A whole hospital may share one address.
	addressLimit = limit{free: 20, most: 15 * time.Minute, fade: time.Minute}
)

const (
	// failuresOver is how many failures beyond the free ones are counted, so that all are
	// forgotten within failuresKept.
	failuresOver = 20
	failuresKept = 3 * time.Hour
	// failuresMost limits how many names and addresses are stored; the oldest are deleted
	// first.
	failuresMost = 20000
)

// wait returns how long to wait after so many failures.
func (l limit) wait(failures int64) time.Duration {
	over := failures - l.free
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over, failuresOver), l.most)
}

// An attempt is a login attempt. It counts as a failure until it succeeds, so that
// concurrent attempts count too.
type attempt struct{ name, address string } // keys

// newAttempt hashes the name and address: the name may be a password typed into the wrong
// field.
func newAttempt(name, address string) attempt {
	return attempt{limitKey("name", fold(name)), limitKey("address", network(address))}
}

func limitKey(kind, of string) string {
	h := sha256.Sum256([]byte(kind + "\x00" + of))
	return hex.EncodeToString(h[:])
}

// network returns the part of an address that identifies an attacker: an IPv4 address, or
// the 64-bit prefix of IPv6, which a subscriber gets.
func network(address string) string {
	ap, err := netip.ParseAddrPort(address)
	ip := ap.Addr()
	if err != nil {
		if ip, err = netip.ParseAddr(address); err != nil {
			return address
		}
	}
	ip = ip.Unmap().WithZone("")
	if p, err := ip.Prefix(64); ip.Is6() && err == nil {
		return p.String()
	}
	return ip.String()
}

// begin counts the attempt, or returns a [*LimitError]. An attempt that is too early for
// its name still counts for its address, so that an attacker is soon limited by address
// and the user can log in.
func (l *Logins) begin(ctx context.Context, at attempt) error {
	return l.beginWithin(ctx, at, nameLimit, addressLimit)
}

// beginWithin is begin with other limits.
func (l *Logins) beginWithin(ctx context.Context, at attempt, nameLimit, addressLimit limit) error {
	var early *LimitError
	err := l.change(ctx, func(t *tx) error {
		early = nil
		if _, err := t.exec(ctx, "login limit", `DELETE FROM login_failures WHERE at <= $1 OR key IN (
			SELECT key FROM login_failures ORDER BY at DESC LIMIT 1000 OFFSET $2)`, t.now.Add(-failuresKept).UnixMicro(), failuresMost); err != nil {
			return err
		}
		address, err := t.failures(ctx, at.address, addressLimit)
		if err != nil {
			return err
		}
		if err := t.countFailure(ctx, at.address, address, addressLimit); err != nil {
			return err
		}
		name, err := t.failures(ctx, at.name, nameLimit)
		if errors.As(err, &early) {
			return nil // the address is counted
		}
		if err != nil {
			return err
		}
		return t.countFailure(ctx, at.name, name, nameLimit)
	})
	if err == nil && early != nil {
		return early
	}
	return err
}

// A count is the number of failures, and the time up to which earlier ones are forgotten.
type count struct {
	n  int64
	at time.Time
}

// failures returns the failures that still count, or a [*LimitError] if the next attempt
// is not allowed yet.
func (t *tx) failures(ctx context.Context, key string, l limit) (count, error) {
	var c count
	var retry time.Time
	row := t.QueryRowContext(ctx, `SELECT failures, at, retry_at FROM login_failures WHERE key = $1`, key)
	err := wrap(row.Scan(&c.n, moment{&c.at}, moment{&retry}), "login limit")
	switch {
	case errors.Is(err, ErrNotFound):
		return count{0, t.now}, nil
	case err != nil:
		return c, err
	case retry.After(t.now):
		return c, &LimitError{Wait: retry.Sub(t.now).Truncate(time.Second) + time.Second}
	}
	faded := max(0, t.now.Sub(c.at)/l.fade)
	if int64(faded) >= c.n {
		return count{0, t.now}, nil
	}
	return count{c.n - int64(faded), c.at.Add(faded * l.fade)}, nil
}

func (t *tx) countFailure(ctx context.Context, key string, c count, l limit) error {
	n := min(c.n+1, l.free+failuresOver)
	_, err := t.exec(ctx, "login limit", `INSERT INTO login_failures (key, failures, at, retry_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, at = excluded.at, retry_at = excluded.retry_at`,
		key, n, c.at.UnixMicro(), t.now.Add(l.wait(n)).UnixMicro())
	return err
}

// uncount removes one failure, of an attempt that succeeded or was not checked. It also
// ends the wait: while there is one, only one attempt runs at a time, so it is this
// attempt's.
func (t *tx) uncount(ctx context.Context, key string) error {
	_, err := t.exec(ctx, "login limit", `UPDATE login_failures SET failures = failures - 1, retry_at = 0 WHERE key = $1 AND failures > 0`, key)
	return err
}

// succeed removes the attempt. It clears the failures of the name, but not those of the
// address: otherwise the owner of one account could guess passwords of others.
func (t *tx) succeed(ctx context.Context, at attempt) error {
	if _, err := t.exec(ctx, "login limit", `DELETE FROM login_failures WHERE key = $1`, at.name); err != nil {
		return err
	}
	return t.uncount(ctx, at.address)
}

// withdraw removes an attempt whose password was not checked.
func (l *Logins) withdraw(ctx context.Context, at attempt) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return l.change(ctx, func(t *tx) error {
		if err := t.uncount(ctx, at.name); err != nil {
			return err
		}
		return t.uncount(ctx, at.address)
	})
}
