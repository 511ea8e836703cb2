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

// Keys are the signing keys, which all processes of a database share.
type Keys struct{ *handle }

// A SigningKey signs access tokens and URLs. All processes of a database share the keys.
type SigningKey struct {
	ID         string // part of each signature
	Public     ed25519.PublicKey
	CreatedAt  time.Time
	RetiredAt  *time.Time // since then it only verifies
	ValidUntil *time.Time // when a retired key no longer verifies

	seed []byte
}

// String hides the secrets.
func (k SigningKey) String() string { return "signing key " + k.ID }

// GoString hides the secrets.
func (k SigningKey) GoString() string { return k.String() }

// Private returns the private key, which signs access tokens.
func (k SigningKey) Private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed) }

// URLKey returns 32 bytes for the HMAC of signed URLs. The private key cannot be derived
// from them.
func (k SigningKey) URLKey() []byte {
	key, err := hkdf.Key(sha256.New, k.seed, nil, "ptiffstore signed URL", 32)
	if err != nil {
		panic(err) // the length is valid
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

// List returns the valid keys, the signing key first. The list is empty if no server has
// run yet.
func (ks *Keys) List(ctx context.Context) ([]SigningKey, error) { return ks.list(ctx, ks.read) }

// Ensure is [Keys.List] for a process that signs: it creates a key if needed.
func (ks *Keys) Ensure(ctx context.Context) ([]SigningKey, error) {
	keys, err := ks.list(ctx, ks.read)
	if err != nil || len(keys) > 0 && keys[0].RetiredAt == nil {
		return keys, err
	}
	err = ks.change(ctx, func(t *tx) error {
		// Another process may have created it in the meantime.
		if keys, err = ks.list(ctx, t); err != nil || len(keys) > 0 && keys[0].RetiredAt == nil {
			return err
		}
		if err := t.newKey(ctx); err != nil {
			return err
		}
		keys, err = ks.list(ctx, t)
		return err
	})
	return keys, err
}

func (ks *Keys) list(ctx context.Context, q querier) ([]SigningKey, error) {
	keys, err := all(ctx, q, scanKey, "signing keys", `SELECT id, seed, created_at, retired_at FROM signing_keys
		WHERE retired_at IS NULL OR retired_at > $1 ORDER BY retired_at IS NOT NULL, created_at DESC, id`, ks.now().Add(-ks.o.KeyLife).UnixMicro())
	for i := range keys {
		if retired := keys[i].RetiredAt; retired != nil {
			end := retired.Add(ks.o.KeyLife)
			keys[i].ValidUntil = &end
		}
	}
	return keys, err
}

func (t *tx) newKey(ctx context.Context) error {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	_, err := t.exec(ctx, "signing key", `INSERT INTO signing_keys (id, seed, created_at) VALUES ($1, $2, $3)`, catalog.NewID()[:12], seed, t.now.UnixMicro())
	return err
}

// Rotate creates a new signing key. The previous key verifies for [Options].KeyLife
// longer.
func (ks *Keys) Rotate(ctx context.Context) error {
	return ks.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "signing keys", `DELETE FROM signing_keys WHERE retired_at <= $1`, t.now.Add(-ks.o.KeyLife).UnixMicro()); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "signing keys", `UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL`, t.now.UnixMicro()); err != nil {
			return err
		}
		return t.newKey(ctx)
	})
}

// Drop deletes all keys and creates a new one, for use after a key has leaked. All
// earlier signatures become invalid.
func (ks *Keys) Drop(ctx context.Context) error {
	return ks.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "signing keys", `DELETE FROM signing_keys`); err != nil {
			return err
		}
		if err := t.newKey(ctx); err != nil {
			return err
		}
		return t.revoke(ctx, RevokeAll, "")
	})
}
