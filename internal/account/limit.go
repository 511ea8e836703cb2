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

// A LimitError says that there were too many attempts. It is [ErrTooMany].
type LimitError struct {
	Wait time.Duration // until the next one is allowed
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: try again in %v", ErrTooMany, e.Wait)
}

// Is makes it [ErrTooMany].
func (e *LimitError) Is(target error) bool { return target == ErrTooMany }

// A limit is how many failures are free; each more doubles the wait, from a second to
// most.
type limit struct {
	free int64
	most time.Duration
}

var (
	// One who guesses the passwords of a user from many places must not be able to
	// keep the user out for long.
	nameLimit = limit{free: 5, most: time.Minute}
	// Behind one address there may be a whole clinic.
	addressLimit = limit{free: 20, most: 15 * time.Minute}
)

const (
	// failuresKept is how long failures are remembered after the last.
	failuresKept = time.Hour
	// failuresMost bounds how many names and addresses are remembered; the oldest
	// are forgotten first.
	failuresMost = 20000
)

// wait returns how long to wait after so many failures.
func (l limit) wait(failures int64) time.Duration {
	over := failures - l.free
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over, 20), l.most)
}

// An attempt is one at logging in, counted as a failure until it has succeeded: so
// those that go on at the same time count, too.
type attempt struct{ name, address string } // keys

// newAttempt makes the keys. A name may be a password typed in the wrong field, so it
// is kept as a hash only.
func newAttempt(name, address string) attempt {
	return attempt{limitKey("name", fold(name)), limitKey("address", network(address))}
}

func limitKey(kind, of string) string {
	h := sha256.Sum256([]byte(kind + "\x00" + of))
	return hex.EncodeToString(h[:])
}

// network is what one attacker has: an address, and of IPv6 the 64 bits that a
// subscriber gets.
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

// begin counts the attempt, or returns a [*LimitError].
func (a *Accounts) begin(ctx context.Context, at attempt) error {
	return a.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "log-in limit", `DELETE FROM login_failures WHERE forget_at <= $1 OR key IN (
			SELECT key FROM login_failures ORDER BY forget_at DESC LIMIT 1000 OFFSET $2)`, t.now.UnixMicro(), failuresMost); err != nil {
			return err
		}
		if err := t.within(ctx, at.name); err != nil {
			return err
		}
		if err := t.within(ctx, at.address); err != nil {
			return err
		}
		if err := t.countFailure(ctx, at.name, nameLimit); err != nil {
			return err
		}
		return t.countFailure(ctx, at.address, addressLimit)
	})
}

// within returns a [*LimitError] if it is not yet time for another attempt.
func (t *tx) within(ctx context.Context, key string) error {
	var retry time.Time
	err := t.a.wrap(t.QueryRowContext(ctx, `SELECT retry_at FROM login_failures WHERE key = $1`, key).Scan(moment{&retry}), "log-in limit")
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case retry.After(t.now):
		return &LimitError{Wait: retry.Sub(t.now).Truncate(time.Second) + time.Second}
	}
	return nil
}

func (t *tx) countFailure(ctx context.Context, key string, l limit) error {
	var failures int64
	err := t.QueryRowContext(ctx, `INSERT INTO login_failures (key, failures, retry_at, forget_at) VALUES ($1, 1, 0, $2)
		ON CONFLICT (key) DO UPDATE SET failures = login_failures.failures + 1, forget_at = excluded.forget_at
		RETURNING failures`, key, t.now.Add(failuresKept).UnixMicro()).Scan(&failures)
	if err != nil {
		return t.a.wrap(err, "log-in limit")
	}
	_, err = t.exec(ctx, "log-in limit", `UPDATE login_failures SET retry_at = $1 WHERE key = $2`, t.now.Add(l.wait(failures)).UnixMicro(), key)
	return err
}

// succeed takes the attempt back. The failures of the name are forgotten; those of
// the address are not, or who has one account could guess at all others.
func (t *tx) succeed(ctx context.Context, at attempt) error {
	if _, err := t.exec(ctx, "log-in limit", `DELETE FROM login_failures WHERE key = $1`, at.name); err != nil {
		return err
	}
	_, err := t.exec(ctx, "log-in limit", `UPDATE login_failures SET failures = failures - 1,
		retry_at = CASE WHEN failures <= $2 THEN 0 ELSE retry_at END WHERE key = $1 AND failures > 0`, at.address, addressLimit.free)
	return err
}
