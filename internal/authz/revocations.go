package authz

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// RevocationAge is how long a revocation is remembered: longer than the lifetime of any
// decision, access token or signed URL from before it.
const RevocationAge = MaxSignedURLAge + time.Hour

// maxRevocations limits their memory. Beyond it the oldest are replaced by one that
// revokes everything, which is safe.
const maxRevocations = 100_000

// revocations are the revocations, each with the generation that it began. A decision
// requested in an earlier generation is invalid if it concerns a revoked object.
type revocations struct {
	generation atomic.Uint64
	image      atomic.Uint64 // generation of the last one of an image
	mu         sync.RWMutex
	last       map[revocationKey]revocationTime
	kinds      map[account.RevocationKind]revocationTime // the last of each kind
	pruned     time.Time
}

type revocationKey struct {
	kind account.RevocationKind
	id   string
}

type revocationTime struct {
	generation uint64
	at         time.Time // by the clock of the revoking server
	heard      time.Time // by this server's clock
}

func (a *revocationTime) raise(b revocationTime) {
	a.generation = max(a.generation, b.generation)
	if b.at.After(a.at) {
		a.at = b.at
	}
	if b.heard.After(a.heard) {
		a.heard = b.heard
	}
}

// add begins a generation. When it returns, no older decision is used any more.
func (r *revocations) add(v account.Revocation, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last, r.kinds, r.pruned = map[revocationKey]revocationTime{}, map[account.RevocationKind]revocationTime{}, now
	}
	g := revocationTime{r.generation.Load() + 1, v.At, now}
	kind := v.Kind
	switch kind {
	case account.RevokeUser, account.RevokeToken, account.RevokeSession, account.RevokeStore, account.RevokeImage:
		id := revocationKey{kind, v.ID}
		at := r.last[id]
		at.raise(g)
		r.last[id] = at
	default: // also a kind that only newer servers know
		kind = account.RevokeAll
	}
	at := r.kinds[kind]
	at.raise(g)
	r.kinds[kind] = at
	r.prune(now)
	if kind == account.RevokeImage {
		r.image.Store(g.generation)
	}
	r.generation.Store(g.generation)
}

// prune removes revocations that are older than everything they could affect.
func (r *revocations) prune(now time.Time) {
	if len(r.last) <= maxRevocations && now.Sub(r.pruned) < time.Hour {
		return
	}
	r.pruned = now
	full := len(r.last) > maxRevocations
	for id, a := range r.last {
		// A wrong clock must not drop a revocation early. Only when there are many, as
		// after reading a long log at the start, the revoking server's time is used.
		if now.Sub(a.heard) > RevocationAge || full && now.Sub(a.at) > RevocationAge {
			delete(r.last, id)
		}
	}
	if len(r.last) <= maxRevocations {
		return
	}
	every := r.kinds[account.RevokeAll]
	for _, a := range r.last {
		every.raise(a)
	}
	every.generation = r.generation.Load() + 1
	r.kinds[account.RevokeAll] = every
	clear(r.last)
}

// holds reports whether a decision requested in that generation is still valid for an
// image of a store.
func (r *revocations) holds(a *Decision, asked uint64, store, image string) bool {
	if r.generation.Load() == asked {
		return true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	stale := func(kind account.RevocationKind, id string) bool {
		return id != "" && r.last[revocationKey{kind, id}].generation > asked
	}
	if r.kinds[account.RevokeAll].generation > asked ||
		stale(account.RevokeUser, a.User.ID) || stale(account.RevokeSession, a.Session) || stale(account.RevokeToken, a.Token) ||
		stale(account.RevokeStore, store) || stale(account.RevokeImage, image) {
		return false
	}
	if !a.Allow || a.signed {
		return true
	}
	// A user whom the authorizer does not name may be any user.
	if a.User.ID == "" && r.kinds[account.RevokeUser].generation > asked {
		return false
	}
	return a.Session != "" || a.Token != "" ||
		r.kinds[account.RevokeSession].generation <= asked && r.kinds[account.RevokeToken].generation <= asked
}

// since reports whether something signed at that time has been revoked then or later.
func (r *revocations) since(signed time.Time, user, session, store, image string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	later := func(kind account.RevocationKind, id string) bool {
		if id == "" {
			return false
		}
		v, ok := r.last[revocationKey{kind, id}]
		return ok && !v.at.Before(signed)
	}
	every, ok := r.kinds[account.RevokeAll]
	return ok && !every.at.Before(signed) || later(account.RevokeUser, user) || later(account.RevokeSession, session) ||
		later(account.RevokeToken, session) || later(account.RevokeStore, store) || later(account.RevokeImage, image)
}
