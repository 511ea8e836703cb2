package account

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
)

// SetSessionHint keeps beside a session what ends it elsewhere, too: the id token of the
// provider at which its user has logged in. Only the session's secret opens it, which is
// kept nowhere here.
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

// SessionHint returns what was kept beside a session, "" if nothing was or there is no
// such session.
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
		return "", nil //nolint:nilerr // as if there were none: it only spares a log-out elsewhere
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
