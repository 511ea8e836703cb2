package upload

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// A View is an upload as its owner or an admin of the store sees it.
type View struct {
	ID       string  `json:"id"`
	Store    string  `json:"store"`
	State    string  `json:"state"`     // uploading, received or refused
	Offset   int64   `json:"offset"`    // bytes on the server's disk
	Length   int64   `json:"length"`    // bytes of the complete file
	SentAs   *string `json:"sent_as"`   // the client's name for the file
	Modified *string `json:"modified"`  // the client's modification time, unparsed
	FileName *string `json:"file_name"` // in the store
	SHA256   *string `json:"sha256"`    // of the complete file
	Verdict  *string `json:"verdict"`   // slide, broken or unsupported; nil until it is known
	Reason   *string `json:"reason"`    // why the verdict is not slide, or the file was refused, and what to do
	Image    *Image  `json:"image"`     // nil until it is in the catalog
	// Conversion is pending while a flat image is converted to a pyramid, then done or
	// failed; nil without a conversion. Once it is done, Image is the pyramid.
	Conversion *string   `json:"conversion"`
	Own        bool      `json:"own"`   // it is the caller's
	Owner      *Owner    `json:"owner"` // nil if the client was not logged in
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"` // last change of bytes or state
	ExpiresAt  time.Time `json:"expires_at"`
}

// An Owner is the user who began an upload.
type Owner struct {
	ID   string  `json:"id"`
	Name *string `json:"name"` // nil if unknown on this server
}

// An Image is the image of the uploaded file.
type Image struct {
	ID     string  `json:"id"`
	State  string  `json:"state"`
	Reason *string `json:"reason"`
	Filed  bool    `json:"filed"` // it has its final path
	Known  bool    `json:"known"` // the store already had this slide
}

// show answers with the upload as JSON.
func (u *Uploads) show(w http.ResponseWriter, r *http.Request) error {
	f, it, err := u.find(r, true)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	if it.record, err = u.settle(r.Context(), f, it.ID); err != nil {
		return answer("", err)
	}
	v, err := u.shown(r.Context(), f.store, it)
	if err != nil {
		return answer(it.ID, err)
	}
	u.nameOwners(r.Context(), []View{v}) // Owner is shared
	if err := u.audited(r, []View{v}); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httperr.WriteJSON(w, http.StatusOK, v)
}

// viewWithImage returns the view of an upload, with its image.
func (u *Uploads) viewWithImage(ctx context.Context, st *catalog.Store, r *record) (View, error) {
	v := u.view(r)
	if r.State != received {
		return v, nil
	}
	im, err := u.image(ctx, r)
	if err == nil && r.Kind == inspect.Unsupported && scan.Converts(st) {
		im, err = u.conversion(ctx, r, im, &v)
	}
	if err != nil || im == nil {
		return v, err
	}
	v.Image = &Image{ID: im.ID, State: string(im.State), Reason: known(im.Reason)}
	v.Image.Filed = im.State == catalog.Available && !managed.AwaitsImport(st, im)
	v.Image.Known = v.Image.Filed && v.Conversion == nil && (im.FileName != r.As || im.CreatedAt.Before(r.CreatedAt))
	return v, nil
}

func (u *Uploads) view(r *record) View {
	meta, _ := parseMetadata(r.Metadata) // valid, as checked when the upload began
	v := View{
		SentAs: known(r.Name), Modified: known(meta["modified"]),
		ID: r.ID, Store: r.Store, State: string(r.State), Offset: r.Offset, Length: r.Length, FileName: known(or(r.As, r.Name)),
		SHA256: known(r.Digest), CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UsedAt.UTC(), ExpiresAt: u.recordExpires(r).UTC(),
	}
	switch {
	case r.State == refused:
		e, _ := errors.AsType[*httperr.Error](wrongDigest())
		v.Reason = &e.Detail
	case r.State != received:
	case r.Kind == inspect.Complete:
		v.Verdict = known("slide")
	case r.Kind == inspect.Damaged:
		v.Verdict = known("broken")
		v.Reason = known(r.Reason)
	case r.Kind == inspect.Unsupported:
		v.Verdict = known("unsupported")
		v.Reason = known(r.Reason)
	}
	return v
}

// conversion sets the state of the conversion, and returns the pyramid once it exists;
// im is the flat image.
func (u *Uploads) conversion(ctx context.Context, r *record, im *catalog.Image, v *View) (*catalog.Image, error) {
	pyramids, err := u.o.Catalog.Images.ByFileName(ctx, r.Store, r.As+".tiff")
	if err != nil {
		return im, err
	}
	for i := range pyramids {
		if pyramids[i].CreatedAt.After(r.CreatedAt) {
			v.Conversion = known("done")
			return &pyramids[i], nil
		}
	}
	v.Conversion = known("pending")
	if im != nil && im.Unconverted {
		v.Conversion = known("failed")
		v.Reason = known(im.Reason)
	}
	return im, nil
}

// image returns the image of a received file, nil before it has one. It is found by
// name, size and mtime, which stay when the file is moved, or else by digest: a
// duplicate has the image that the store already had.
func (u *Uploads) image(ctx context.Context, r *record) (*catalog.Image, error) {
	list, err := u.o.Catalog.Images.ByFileName(ctx, r.Store, r.As)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if id := list[i].Identity; id.Size == r.Length && id.MTime == r.MTime {
			return &list[i], nil
		}
	}
	im, err := u.o.Catalog.Images.ByDigest(ctx, r.Store, r.Digest)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && im.DeletedAt != nil {
		return nil, nil
	}
	return im, err
}

func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
