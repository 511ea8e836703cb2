package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// PutOptions are those of [Bucket.Put] and [Bucket.BeginUpload].
type PutOptions struct {
	IfAbsent    bool   // fail with [ErrExists] if there is an object; not honoured by every server
	ContentType string // "" for application/octet-stream
	// Metadata are kept with the object, below lower-case names.
	Metadata map[string]string
}

func (o PutOptions) options() minio.PutObjectOptions {
	m := minio.PutObjectOptions{ContentType: o.ContentType, UserMetadata: o.Metadata, DisableContentSha256: true}
	if o.IfAbsent {
		m.SetMatchETagExcept("*")
	}
	return m
}

// Put writes an object with one request, or replaces it. Its answer is not believed: the
// identity is that of HEAD. The error may be [ErrExists].
func (b *Bucket) Put(ctx context.Context, key string, p []byte, o PutOptions) (Identity, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Identity{}, err
	}
	sum := sha256.Sum256(p)
	attempts := 0
	err = b.do(ctx, kindPut, func(ctx context.Context, _ *exchange) error {
		attempts++
		_, err := b.core.PutObject(ctx, b.address.Bucket, full, bytes.NewReader(p), int64(len(p)), "", hex.EncodeToString(sum[:]), o.options())
		return err
	})
	exists := errors.Is(err, ErrChanged)
	if err != nil && !exists {
		return Identity{}, err
	}
	if exists && attempts == 1 {
		return Identity{}, &failure{class: ErrExists}
	}
	// An earlier attempt without an answer may have written it.
	id, err := b.Stat(ctx, key)
	if err != nil {
		return Identity{}, err
	}
	if exists {
		same, err := b.equals(ctx, key, id, p)
		if err != nil {
			return Identity{}, err
		}
		if !same {
			return Identity{}, &failure{class: ErrExists}
		}
	}
	if id.Size != int64(len(p)) {
		return Identity{}, &failure{class: ErrChanged, text: "another object was written at the same time"}
	}
	return id, nil
}

// equals reports whether an object has these bytes.
func (b *Bucket) equals(ctx context.Context, key string, id Identity, p []byte) (bool, error) {
	if id.Size != int64(len(p)) {
		return false, nil
	}
	got := make([]byte, len(p))
	if err := b.ReadAt(ctx, key, id, got, 0); err != nil {
		return false, err
	}
	return bytes.Equal(got, p), nil
}

// Delete removes an object if it still has this identity. An object that is gone is no error.
// Not every server honours the condition, so the identity is compared before; another object
// that is written in between may then be deleted.
func (b *Bucket) Delete(ctx context.Context, key string, id Identity) error {
	full, err := b.fullKey(key)
	if err != nil {
		return err
	}
	now, err := b.Stat(ctx, key)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if !now.Same(id) {
		return &failure{class: ErrChanged}
	}
	return b.deleteAs(ctx, full, id)
}

// Remove removes the object that has a key now, whatever it is. One that is gone is no error.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	full, err := b.fullKey(key)
	if err != nil {
		return err
	}
	id, err := b.Stat(ctx, key)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.deleteAs(ctx, full, id)
}

// deleteAs deletes an object on the condition that it has this identity.
func (b *Bucket) deleteAs(ctx context.Context, full string, id Identity) error {
	err := b.do(ctx, kindDelete, func(ctx context.Context, x *exchange) error {
		x.extra = http.Header{}
		if id.ETag != "" {
			x.extra.Set("If-Match", `"`+id.ETag+`"`)
		}
		return b.core.RemoveObject(ctx, b.address.Bucket, full, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, ErrGone) {
		return nil
	}
	return err
}
