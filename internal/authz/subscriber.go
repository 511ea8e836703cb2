package authz

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

const (
	// ProofHeader proves that a request between central and edge server comes from the
	// other.
	ProofHeader = "Ptiffstore-Proof"
	// proofWindow is the maximum difference between a proof's time and now.
	proofWindow    = 5 * time.Minute
	maxProofs      = 100_000
	maxRevokeBytes = 1 << 20
)

// Prove signs a request with the shared key: HMAC-SHA256 over method, path and query,
// time, nonce and body.
func Prove(r *http.Request, body, key []byte, now time.Time) {
	t, nonce := strconv.FormatInt(now.Unix(), 10), rand.Text()
	r.Header.Set(ProofHeader, "v1 t="+t+" n="+nonce+" s="+hex.EncodeToString(proofMAC(r, body, key, t, nonce)))
}

func proofMAC(r *http.Request, body, key []byte, t, nonce string) []byte {
	h := hmac.New(sha256.New, key)
	sum := sha256.Sum256(body)
	path := r.URL.Path
	if i := strings.LastIndex(path, "/api/v1/"); i >= 0 {
		path = path[i:] // a proxy may remove a path prefix
	}
	fmt.Fprintf(h, "ptiffstore proof v1\n%s\n%s?%s\n%s\n%s\n%x", r.Method, path, r.URL.RawQuery, t, nonce, sum)
	return h.Sum(nil)
}

// Proofs verifies requests, each only once. The zero value is ready for use.
type Proofs struct {
	mu   sync.Mutex
	seen map[string]time.Time // nonces, and when they expire
}

var errProof = &httperr.Error{Status: http.StatusUnauthorized, Detail: "Only the paired central or edge server may do this: the proof is missing, wrong, expired or already used."}

// Verify returns nil if r with that body was signed with one of the keys, recently and
// not seen before; else a [*httperr.Error].
func (p *Proofs) Verify(r *http.Request, body []byte, keys [][]byte, now time.Time) error {
	f := strings.Fields(r.Header.Get(ProofHeader))
	if len(f) != 4 || f[0] != "v1" {
		return errProof
	}
	t, ok1 := strings.CutPrefix(f[1], "t=")
	nonce, ok2 := strings.CutPrefix(f[2], "n=")
	sig, ok3 := strings.CutPrefix(f[3], "s=")
	mac, err := hex.DecodeString(sig)
	at, err2 := strconv.ParseInt(t, 10, 64)
	if !ok1 || !ok2 || !ok3 || err != nil || err2 != nil || len(nonce) < 16 || len(nonce) > 64 {
		return errProof
	}
	if d := now.Sub(time.Unix(at, 0)); d > proofWindow || d < -proofWindow {
		return errProof
	}
	good := false
	for _, key := range keys {
		good = len(key) > 0 && hmac.Equal(mac, proofMAC(r, body, key, t, nonce)) || good
	}
	if !good {
		return errProof
	}
	return p.first(nonce, now)
}

// first records the nonce of a valid proof. Others are not stored, so only key holders
// use memory.
func (p *Proofs) first(nonce string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seen[nonce]; ok {
		return errProof
	}
	if p.seen == nil {
		p.seen = map[string]time.Time{}
	}
	if len(p.seen) >= maxProofs {
		for n, until := range p.seen {
			if now.After(until) {
				delete(p.seen, n)
			}
		}
		if len(p.seen) >= maxProofs {
			return &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "Too many proofs are being checked. Try again.", RetryAfter: 60}
		}
	}
	p.seen[nonce] = now.Add(2*proofWindow + time.Second)
	return nil
}

// A RevocationPage is a central server's response with revocations.
type RevocationPage struct {
	Items []account.Revocation `json:"items"` // the oldest first; request the next page after the last, until it is empty
	// Latest is the number of the newest revocation.
	Latest int64 `json:"latest"`
	// Keys verify access tokens, if the central server issues any.
	Keys []PublicKey `json:"keys,omitempty"`
}

// A RevocationSubscriber keeps a gate in sync with a log of revocations: a central
// server's, or that of other processes in the same database.
type RevocationSubscriber struct {
	Gate *Gate
	// Source returns the revocations after a number.
	Source func(ctx context.Context, since int64) (RevocationPage, error)
	Keys   *Keys           // receives the central server's public keys, if not nil
	Every  time.Duration   // poll interval, 10 seconds if 0
	Back   <-chan struct{} // delivers a value when the source is reachable again; may be nil
	Log    *slog.Logger
	Loops  *loop.Set // shows whether the source is reached; may be nil

	wakes chan struct{}
	once  sync.Once
	last  atomic.Int64
}

func (f *RevocationSubscriber) wake() chan struct{} {
	f.once.Do(func() { f.wakes = make(chan struct{}, 1) })
	return f.wakes
}

// Last returns the number of the last revocation that was applied in order.
func (f *RevocationSubscriber) Last() int64 { return f.last.Load() }

// Run applies revocations until ctx is done. While the source can't be reached, cached
// decisions expire with their TTL.
func (f *RevocationSubscriber) Run(ctx context.Context) {
	every := f.Every
	if every == 0 {
		every = 10 * time.Second
	}
	l := f.Loops.New(f.Log, "revocations", "")
	l.Longest = every
	l.Run(ctx, func(ctx context.Context) error {
		if err := f.CatchUp(ctx); err != nil {
			return fmt.Errorf("cannot fetch revocations; cached decisions are used until they expire: %w", err)
		}
		l.Well()
		select {
		case <-ctx.Done():
		case <-f.wake():
		case <-f.Back:
		case <-time.After(every):
		}
		return nil
	})
}

// CatchUp applies all revocations since the last one.
func (f *RevocationSubscriber) CatchUp(ctx context.Context) error {
	for {
		since := f.last.Load()
		page, err := f.Source(ctx, since)
		if err != nil {
			return err
		}
		if f.Keys != nil && len(page.Keys) > 0 {
			keys, err := PublicKeys(page.Keys)
			if err != nil {
				return err
			}
			f.Keys.SetPublic(keys)
		}
		if page.Latest < since {
			// The log was restored from an earlier backup, and later revocations are
			// lost.
			f.Gate.Revoke(account.Revocation{Kind: account.RevokeAll})
			f.last.CompareAndSwap(since, page.Latest)
			continue
		}
		if len(page.Items) == 0 {
			return nil
		}
		for _, v := range page.Items {
			f.Gate.Revoke(v)
			since = max(since, v.N)
		}
		f.raise(since)
	}
}

func (f *RevocationSubscriber) raise(n int64) {
	for {
		last := f.last.Load()
		if n <= last || f.last.CompareAndSwap(last, n) {
			return
		}
	}
}

// take applies revocations sent by the central server, and fetches missing ones before
// them.
func (f *RevocationSubscriber) take(items []account.Revocation) {
	for _, v := range items {
		f.Gate.Revoke(v)
		if !f.last.CompareAndSwap(v.N-1, v.N) && v.N > f.last.Load() {
			select {
			case f.wake() <- struct{}{}:
			default:
			}
		}
	}
}

// RevokeHandler serves POST /api/v1/auth/revoke of an edge, with which the central server
// sends revocations as they happen. They are effective before it responds.
func (f *RevocationSubscriber) RevokeHandler(key []byte) http.Handler {
	proofs := new(Proofs)
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			return &httperr.Error{Status: http.StatusMethodNotAllowed, Detail: "Use POST."}
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRevokeBytes))
		if err != nil {
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return &httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: "Send fewer revocations at once."}
			}
			return &httperr.Error{Status: http.StatusBadRequest, Detail: "The request body is incomplete."}
		}
		if err := proofs.Verify(r, body, [][]byte{key}, f.Gate.o.Now()); err != nil {
			return err
		}
		var page RevocationPage
		if err := strictjson.UnmarshalKnown(body, &page); err != nil {
			return &httperr.Error{Status: http.StatusBadRequest, Detail: "The body is not a list of revocations."}
		}
		f.take(page.Items)
		return httperr.WriteJSON(w, http.StatusOK, map[string]int64{"last": f.Last()})
	})
}
