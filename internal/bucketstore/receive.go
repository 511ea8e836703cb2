package bucketstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
)

// An Arrival is a complete object under [Key] of its image, which the catalog does not have yet.
type Arrival struct {
	Image    string // id
	FileName string
	Digest   string // SHA-256 of the object; "" if it is unknown
	Identity bucket.Identity
}

// Received is the image of an arrival.
type Received struct {
	Image string       // id of the image, or of that which the store had already
	Kind  inspect.Kind // [inspect.Complete] or why it is not a slide; 0 if it was recorded before
}

// receiveWait is how long the arrival of another copy of the same slide is waited for.
const receiveWait = 10 * time.Second

// Receive records an object. It may be called again after an error or a crash, in any process,
// even if it succeeded. If the store has the same slide already, the object is removed.
//
// The error is [lease.ErrBusy] if another process receives a copy of the same slide.
func (s *Store) Receive(ctx context.Context, a Arrival) (r Received, err error) {
	known, err := s.Catalog.Images.GetAny(ctx, a.Image)
	switch {
	case err == nil && known.StoreID == s.ID && known.Path == Key(a.Image):
		return Received{Image: a.Image}, nil // before
	case err != nil && !errors.Is(err, catalog.ErrNotFound):
		return r, err
	}
	ctx, release, err := s.turn(ctx, a)
	if err != nil {
		return r, err
	}
	defer release()
	first, err := SameSlide(ctx, s.Catalog, s.ID, a.Digest, a.Image)
	if err != nil {
		return r, err
	}
	if first != "" {
		return Received{first, inspect.Complete}, s.discard(ctx, a)
	}
	if err := a.sidecar(s.ID, s.Now()).write(ctx, s.Bucket); err != nil {
		return r, err
	}
	r.Image = a.Image
	r.Kind, err = s.Inspect(ctx, Key(a.Image))
	return r, err
}

// turn waits until no other copy of the same slide is being recorded.
func (s *Store) turn(ctx context.Context, a Arrival) (context.Context, func(), error) {
	if a.Digest == "" {
		return ctx, func() {}, nil
	}
	for began := time.Now(); ; {
		held, _, release, err := s.Leases.Take(ctx, "receive "+s.ID+" "+a.Digest)
		if !errors.Is(err, lease.ErrBusy) || time.Since(began) > receiveWait {
			return held, release, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// SameSlide returns the id of an available image of a store, other than the one of an arrival, with
// that SHA-256, or "".
func SameSlide(ctx context.Context, c *catalog.Catalog, store, digest, arrival string) (string, error) {
	if digest == "" {
		return "", nil
	}
	im, err := c.Images.ByDigest(ctx, store, digest)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && (im.ID == arrival || im.DeletedAt != nil || im.State != catalog.Available) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return im.ID, nil
}

// discard removes the object of a slide that the store has already, and its sidecar.
func (s *Store) discard(ctx context.Context, a Arrival) error {
	if err := s.Bucket.Delete(ctx, Key(a.Image), a.Identity); err != nil {
		return objectError(a.Image, "removing a second copy", err)
	}
	return s.removeSidecar(ctx, a.Image)
}

// sidecar is the sidecar of an object that has arrived.
func (a *Arrival) sidecar(store string, now time.Time) *Sidecar {
	im := &catalog.Image{ID: a.Image, StoreID: store, CreatedAt: now}
	im.FileName = strings.ToValidUTF8(a.FileName, "\uFFFD")
	if a.Digest != "" {
		im.Digest = &a.Digest
	}
	return sidecarOf(im)
}
