package bucketstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// A Sidecar is an object beside a slide with the data that the slide does not contain, so that a
// store can be restored with its ids if its catalog is lost.
type Sidecar struct {
	managed.Sidecar
	DeletedAt *time.Time `json:"deleted_at,omitempty"` // by a user: the slide is in the trash
}

// sidecarOf is the sidecar of an image.
func sidecarOf(im *catalog.Image) *Sidecar {
	c := &Sidecar{Sidecar: *managed.SidecarOf(im)}
	if im.Digest != nil {
		c.Digest = *im.Digest
	}
	if im.DeletedAt != nil {
		at := im.DeletedAt.UTC()
		c.DeletedAt = &at
	}
	return c
}

// image returns the image that the sidecar describes.
func (c *Sidecar) image(store string) *catalog.Image {
	im := c.Image(store)
	if c.Digest != "" {
		im.Digest = &c.Digest
	}
	im.DeletedAt = c.DeletedAt
	return im
}

// write writes the sidecar.
func (c *Sidecar) write(ctx context.Context, b *bucket.Bucket) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = b.Put(ctx, SidecarKey(c.ID), append(data, '\n'), bucket.PutOptions{ContentType: "application/json"})
	return objectError(c.ID, "writing its sidecar", err)
}

// readSidecar reads the sidecar of a slide. The error is [bucket.ErrGone] if it has none.
func readSidecar(ctx context.Context, b *bucket.Bucket, image string) (*Sidecar, error) {
	data, _, err := read(ctx, b, SidecarKey(image))
	if err != nil {
		return nil, objectError(image, "reading its sidecar", err)
	}
	c := new(Sidecar)
	if err := strictjson.UnmarshalKnown(data, c); err != nil {
		return nil, fmt.Errorf("the sidecar of image %s is damaged: %w", image, err)
	}
	if c.ID != image {
		return nil, fmt.Errorf("the sidecar of image %s is that of another", image)
	}
	return c, nil
}

// UpdateSidecar writes the sidecar of a stored slide, which may be deleted, if it differs from the
// image.
func (s *Store) UpdateSidecar(ctx context.Context, im *catalog.Image) error {
	if ImageOf(im.Path) != im.ID || im.StoreID != s.ID {
		return nil
	}
	now := sidecarOf(im)
	old, err := readSidecar(ctx, s.Bucket, im.ID)
	if err == nil && old.same(now) {
		return nil
	}
	if errors.Is(err, bucket.ErrUnavailable) || errors.Is(err, bucket.ErrDenied) {
		return err
	}
	return now.write(ctx, s.Bucket)
}

// WriteSidecar writes the sidecar of an image whose object was copied, before it is in the store.
func (s *Store) WriteSidecar(ctx context.Context, im *catalog.Image) error {
	return sidecarOf(im).write(ctx, s.Bucket)
}

// same reports whether two sidecars are equal.
func (c *Sidecar) same(o *Sidecar) bool {
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && string(a) == string(b)
}

// Image returns the image of an object that the catalog does not know, as its sidecar describes
// it. The error is [bucket.ErrGone] if it has no sidecar.
func (s *Store) Image(ctx context.Context, path string) (*catalog.Image, error) {
	c, err := readSidecar(ctx, s.Bucket, ImageOf(path))
	if err != nil {
		return nil, err
	}
	return c.image(s.ID), nil
}
