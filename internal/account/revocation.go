package account

import (
	"context"
	"time"
)

// A RevocationKind is the kind of object whose rights have changed.
type RevocationKind string

// The kinds.
const (
	RevokeUser    RevocationKind = "user"
	RevokeToken   RevocationKind = "token"
	RevokeSession RevocationKind = "session"
	RevokeImage   RevocationKind = "image"
	RevokeStore   RevocationKind = "store"
	RevokeAll     RevocationKind = "all" // all users; the id is empty
)

// Revocations record which decisions servers may no longer cache.
type Revocations struct{ *handle }

// A Revocation invalidates cached decisions about rights. Revocations are numbered from 1
// in the order in which they become visible, so that a subscriber misses none.
type Revocation struct {
	N    int64          `json:"n"`
	At   time.Time      `json:"at"`
	Kind RevocationKind `json:"kind"`
	ID   string         `json:"id"`
}

// revocationsMost is the maximum number of revocations returned at once.
const revocationsMost = 1000

// groupMost is the size up to which a revocation is added for each member of a group.
const groupMost = 100

func scanRevocation(r row) (Revocation, error) {
	var v Revocation
	err := r.Scan(&v.N, moment{&v.At}, &v.Kind, &v.ID)
	return v, err
}

// Add adds a revocation, such as of an image whose rights another system manages.
// Changes made by this package add their own. The error may be [ErrInvalid].
func (rs *Revocations) Add(ctx context.Context, kind RevocationKind, id string) (*Revocation, error) {
	switch kind {
	case RevokeUser, RevokeToken, RevokeSession, RevokeImage, RevokeStore:
		if id == "" || len(id) > 200 {
			return nil, invalid("a revocation of a %s needs its id", kind)
		}
	case RevokeAll:
		if id != "" {
			return nil, invalid("a revocation of all must not have an id")
		}
	default:
		return nil, invalid("unknown kind of revocation: use user, token, session, image, store or all")
	}
	var made Revocation
	err := rs.change(ctx, func(t *tx) error {
		err := t.revoke(ctx, kind, id)
		if err == nil {
			made = t.revoked[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// revoke adds a revocation, once per transaction.
func (t *tx) revoke(ctx context.Context, kind RevocationKind, id string) error {
	for _, r := range t.revoked {
		if r.Kind == kind && r.ID == id {
			return nil
		}
	}
	r := Revocation{At: t.now, Kind: kind, ID: id}
	if err := t.QueryRowContext(ctx, `UPDATE account_turn SET revocation = revocation + 1 RETURNING revocation`).Scan(&r.N); err != nil {
		return wrap(err, "revocation")
	}
	if _, err := t.exec(ctx, "revocation", `INSERT INTO revocations (n, at, kind, id) VALUES ($1, $2, $3, $4)`, r.N, r.At.UnixMicro(), r.Kind, r.ID); err != nil {
		return err
	}
	t.revoked = append(t.revoked, r)
	return nil
}

// revokeGroup adds a revocation for each member, or for all users if there are many
// members.
func (t *tx) revokeGroup(ctx context.Context, group string) error {
	members, err := all(ctx, t, func(r row) (id string, err error) { return id, r.Scan(&id) }, "members",
		`SELECT DISTINCT user_id FROM group_members WHERE group_id = $1 ORDER BY user_id LIMIT $2`, group, groupMost+1)
	if err != nil {
		return err
	}
	if len(members) > groupMost {
		return t.revoke(ctx, RevokeAll, "")
	}
	for _, id := range members {
		if err := t.revoke(ctx, RevokeUser, id); err != nil {
			return err
		}
	}
	return nil
}

// Since returns the revocations after number n, oldest first, at most 1000.
// Call it with the last number until the list is empty.
func (rs *Revocations) Since(ctx context.Context, n int64) ([]Revocation, error) {
	return all(ctx, rs.read, scanRevocation, "revocations", `SELECT n, at, kind, id FROM revocations WHERE n > $1 ORDER BY n LIMIT $2`, n, revocationsMost)
}

// Latest returns the number of the last revocation, or 0.
func (rs *Revocations) Latest(ctx context.Context) (n int64, err error) {
	err = rs.read.QueryRowContext(ctx, `SELECT revocation FROM account_turn`).Scan(&n)
	return n, wrap(err, "revocations")
}

// Notify registers f, which is called with each revocation that this process adds,
// after the commit. Use [Revocations.Since] for those of other processes. f must
// return quickly, and be safe for concurrent use.
func (rs *Revocations) Notify(f func(Revocation)) {
	rs.hearMu.Lock()
	defer rs.hearMu.Unlock()
	rs.hearers = append(rs.hearers, f)
}

func (h *handle) notify(revoked []Revocation) {
	if len(revoked) == 0 {
		return
	}
	h.hearMu.Lock()
	hearers := h.hearers[:len(h.hearers):len(h.hearers)]
	h.hearMu.Unlock()
	for _, f := range hearers {
		for _, r := range revoked {
			f(r)
		}
	}
}
