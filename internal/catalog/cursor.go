package catalog

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// loadSeal reads the key that encrypts cursors, or creates it. A cursor contains the
// position where a page ended, which may be a file name, and appears in URLs and logs.
func (h *handle) loadSeal(ctx context.Context) error {
	key, err := h.secret(ctx, "cursor key")
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("cannot create the key of cursors: %w", err)
	}
	h.seal, err = cipher.NewGCMWithRandomNonce(block)
	return err
}

// SiteKey returns 16 random bytes for a purpose, always the same ones: all processes of a
// database share them, and a backup contains them.
func (h *handle) SiteKey(ctx context.Context, purpose string) ([]byte, error) {
	return h.secret(ctx, "site key "+purpose)
}

// secret returns the random bytes of a setting, which it creates if needed.
func (h *handle) secret(ctx context.Context, name string) ([]byte, error) {
	var key []byte
	read := func() error {
		return h.read.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&key)
	}
	if read() == nil {
		return key, nil
	}
	fresh := make([]byte, 16)
	rand.Read(fresh)
	err := h.change(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, fresh)
		return wrap(err, "settings")
	})
	if err == nil {
		err = wrap(read(), "settings")
	}
	return key, err
}

// cursorFields is the contents of a cursor.
type cursorFields struct {
	N     int64  `json:"n"`
	Shelf int    `json:"h,omitempty"`
	Name  string `json:"a,omitempty"`
	Size  int64  `json:"s,omitempty"`
}

// sealCursor returns the cursor of the page of q that ends at p.
func (ims *Images) sealCursor(q Query, p *position) string {
	b, err := json.Marshal(cursorFields{p.n, p.shelf, p.name, p.size})
	if err != nil {
		panic(err) // numbers and a string
	}
	return base64.RawURLEncoding.EncodeToString(ims.seal.Seal(nil, nil, b, q.context()))
}

// openCursor returns the position where the page before q ended.
func (ims *Images) openCursor(q Query) (*position, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return nil, ErrBadCursor
	}
	b, err := ims.seal.Open(nil, nil, sealed, q.context())
	if err != nil {
		return nil, ErrBadCursor
	}
	var f cursorFields
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, ErrBadCursor
	}
	return &position{f.N, f.Shelf, f.Name, f.Size}, nil
}

// context returns the data that a cursor is bound to: the entire query except the limit.
func (q Query) context() []byte {
	return fmt.Appendf(nil, "%q %q %q %q %q %q %q %t %t", q.Store, q.Q, clean(q.ExternalID), clean(q.Barcode), clean(q.Accession), q.State, q.Sort, q.Hidden, q.Labels)
}
