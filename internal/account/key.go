package account

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A SigningKey signs passes and URLs. All processes of a database have the same.
type SigningKey struct {
	ID        string // goes into what it signs
	Public    ed25519.PublicKey
	CreatedAt time.Time
	RetiredAt *time.Time // since then it verifies and does not sign

	seed []byte
}

// String leaves out what is secret.
func (k SigningKey) String() string { return "signing key " + k.ID }

// GoString leaves out what is secret.
func (k SigningKey) GoString() string { return k.String() }

// Private returns the private key, which signs passes.
func (k SigningKey) Private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed) }

// URLKey returns 32 bytes for the HMAC of signed URLs. They say nothing of the private
// key.
func (k SigningKey) URLKey() []byte {
	key, err := hkdf.Key(sha256.New, k.seed, nil, "ptiffstore signed URL", 32)
	if err != nil {
		panic(err) // the length is good
	}
	return key
}

func scanKey(r row) (SigningKey, error) {
	var k SigningKey
	if err := r.Scan(&k.ID, &k.seed, moment{&k.CreatedAt}, stamp{&k.RetiredAt}); err != nil {
		return k, err
	}
	if len(k.seed) != ed25519.SeedSize {
		return k, fmt.Errorf("the seed has %d bytes, not %d", len(k.seed), ed25519.SeedSize)
	}
	k.Public = k.Private().Public().(ed25519.PublicKey)
	return k, nil
}

// SigningKeys returns the keys whose signatures are good. The first is the one that
// signs; it is made at the first time.
func (a *Accounts) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	keys, err := a.signingKeys(ctx, a.read)
	if err != nil || len(keys) > 0 && keys[0].RetiredAt == nil {
		return keys, err
	}
	err = a.change(ctx, func(t *tx) error {
		// Another process may have made it in the meantime.
		if keys, err = a.signingKeys(ctx, t); err != nil || len(keys) > 0 && keys[0].RetiredAt == nil {
			return err
		}
		if err := t.newKey(ctx); err != nil {
			return err
		}
		keys, err = a.signingKeys(ctx, t)
		return err
	})
	return keys, err
}

func (a *Accounts) signingKeys(ctx context.Context, q querier) ([]SigningKey, error) {
	return all(ctx, a, q, scanKey, "signing keys", `SELECT id, seed, created_at, retired_at FROM signing_keys
		WHERE retired_at IS NULL OR retired_at > $1 ORDER BY retired_at IS NOT NULL, created_at DESC, id`, a.now().Add(-a.o.KeyLife).UnixMicro())
}

func (t *tx) newKey(ctx context.Context) error {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	_, err := t.exec(ctx, "signing key", `INSERT INTO signing_keys (id, seed, created_at) VALUES ($1, $2, $3)`, catalog.NewID()[:12], seed, t.now.UnixMicro())
	return err
}

// RotateKey makes a new key that signs from now on. What the one before has signed is
// good for [Options].KeyLife longer.
func (a *Accounts) RotateKey(ctx context.Context) error {
	return a.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "signing keys", `DELETE FROM signing_keys WHERE retired_at <= $1`, t.now.Add(-a.o.KeyLife).UnixMicro()); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "signing keys", `UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL`, t.now.UnixMicro()); err != nil {
			return err
		}
		return t.newKey(ctx)
	})
}

// DropKeys makes a new key and forgets all others: for when one has become known to
// somebody. Nothing that was signed before is good any more.
func (a *Accounts) DropKeys(ctx context.Context) error {
	return a.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "signing keys", `DELETE FROM signing_keys`); err != nil {
			return err
		}
		if err := t.newKey(ctx); err != nil {
			return err
		}
		return t.revoke(ctx, RevokeAll, "")
	})
}
