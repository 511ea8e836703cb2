package account

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// SetSessionHint stores the provider's ID token with a session, for the logout at the
// provider. It is encrypted with the session's secret, which this package does not store.
func (a *Accounts) SetSessionHint(ctx context.Context, secret, hint string) error {
	c, err := hintCipher(secret)
	if err != nil {
		return err
	}
	sealed := c.Seal(nil, nil, []byte(hint), nil)
	return a.db.Retry(ctx, func() error {
		_, err := a.write.ExecContext(ctx, `UPDATE sessions SET hint = $1 WHERE secret = $2`, sealed, hashSecret(secret))
		return a.wrap(err, "session")
	})
}

// SessionHint returns the session's hint, or "" if there is no hint or no such session.
func (a *Accounts) SessionHint(ctx context.Context, secret string) (string, error) {
	var sealed []byte
	err := a.wrap(a.read.QueryRowContext(ctx, `SELECT hint FROM sessions WHERE secret = $1`, hashSecret(secret)).Scan(&sealed), "session")
	if errors.Is(err, ErrNotFound) || err == nil && sealed == nil {
		return "", nil
	} else if err != nil {
		return "", err
	}
	c, err := hintCipher(secret)
	if err != nil {
		return "", err
	}
	hint, err := c.Open(nil, nil, sealed, nil)
	if err != nil {
		return "", nil //nolint:nilerr // without a hint, only the logout at the provider is missing
	}
	return string(hint), nil
}

func hintCipher(secret string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "ptiffstore session hint", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
