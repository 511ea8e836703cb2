package upload

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
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
	Known  bool    `json:"known"` // the store already had this slide; false for DICOM files, which may be added to it
}

// views describe uploads to clients.
type views struct {
	catalog  *catalog.Catalog
	folders  *folders
	userName func(ctx context.Context, owner string) string // may be nil
}

// read reads the record of an upload and returns its view.
func (p *views) read(ctx context.Context, l *listing) (View, error) {
	d, err := p.folders.open(ctx, l.store, false)
	if err != nil {
		return View{}, errAway
	}
	defer d.close()
	rec, err := d.load(l.id)
	if err != nil {
		return View{}, err
	}
	return p.of(ctx, l.store, &found{rec, l.own, l.names})
}

// of is the view of an upload for the caller. The names of others' files are patient
// data, and the reason of a verdict may be too.
func (p *views) of(ctx context.Context, st *catalog.Store, it *found) (View, error) {
	v, err := p.withImage(ctx, st, it.record)
	if err != nil {
		return v, err
	}
	v.Own = it.own
	if it.Owner != "" {
		v.Owner = &Owner{ID: it.Owner}
	}
	if !it.names {
		v.SentAs, v.FileName, v.Modified, v.Reason = nil, nil, nil, nil
		if v.Image != nil {
			v.Image.Reason = nil
		}
	}
	return v, nil
}

// nameOwners sets the names of the owners.
func (p *views) nameOwners(ctx context.Context, list []View) {
	if p.userName == nil {
		return
	}
	names := map[string]*string{}
	for i := range list {
		o := list[i].Owner
		if o == nil {
			continue
		}
		name, ok := names[o.ID]
		if !ok {
			name = known(p.userName(ctx, o.ID))
			names[o.ID] = name
		}
		o.Name = name
	}
}

// withImage returns the view of an upload, with its image.
func (p *views) withImage(ctx context.Context, st *catalog.Store, r *record) (View, error) {
	v := p.view(r)
	if r.State != received {
		return v, nil
	}
	if r.Object != "" {
		return v, p.withObject(ctx, r, &v)
	}
	im, err := p.image(ctx, st, r)
	if err == nil && r.Kind == inspect.Unsupported && r.Series == "" && scan.Converts(st) {
		im, err = p.conversion(ctx, r, im, &v)
	}
	if err != nil || im == nil {
		return v, err
	}
	v.Image = &Image{ID: im.ID, State: string(im.State), Reason: known(im.Reason)}
	v.Image.Filed = im.State == catalog.Available && !managed.AwaitsImport(st, im)
	if r.Series != "" {
		v.judgeInstance(st, im, r)
		return v, nil
	}
	v.Image.Known = v.Image.Filed && v.Conversion == nil && (im.FileName != r.As || im.CreatedAt.Before(r.CreatedAt))
	return v, nil
}

// withObject sets the image of a file that was received into a bucket.
func (p *views) withObject(ctx context.Context, r *record, v *View) error {
	im, err := p.catalog.Images.Get(ctx, r.Image)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil // deleted since
	}
	if err == nil {
		v.Image = &Image{ID: im.ID, State: string(im.State), Reason: known(im.Reason), Filed: im.State == catalog.Available, Known: im.ID != r.Object}
	}
	return err
}

// judgeInstance sets the verdict on a DICOM file. An instance that is no slide by itself, such as a
// label, may be one of a slide, and waits until the store has compared it.
func (v *View) judgeInstance(st *catalog.Store, im *catalog.Image, r *record) {
	switch {
	case v.Image.Filed:
		v.Verdict, v.Reason = known("slide"), nil
	case r.Kind == inspect.Unsupported && im.State == catalog.Quarantined:
		v.Verdict, v.Reason = known("unsupported"), known(im.Reason)
	case r.Kind == inspect.Unsupported && managed.AwaitsImport(st, im):
		v.Image.State, v.Image.Reason = string(catalog.Arriving), nil
	}
}

func (p *views) view(r *record) View {
	meta, _ := parseMetadata(r.Metadata) // valid, as checked when the upload began
	v := View{
		SentAs: known(r.Name), Modified: known(meta["modified"]),
		ID: r.ID, Store: r.Store, State: string(r.State), Offset: r.Offset, Length: r.Length, FileName: known(or(r.As, r.Name)),
		SHA256: known(r.Digest), CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UsedAt.UTC(), ExpiresAt: p.folders.recordExpires(r).UTC(),
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
	case r.Kind == inspect.Unsupported && r.Series != "": // until it has joined a slide, or is in quarantine
	case r.Kind == inspect.Unsupported:
		v.Verdict = known("unsupported")
		v.Reason = known(r.Reason)
	}
	return v
}

// conversion sets the state of the conversion, and returns the pyramid once it exists;
// im is the flat image.
func (p *views) conversion(ctx context.Context, r *record, im *catalog.Image, v *View) (*catalog.Image, error) {
	pyramids, err := p.catalog.Images.ByFileName(ctx, r.Store, r.As+".tiff")
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
func (p *views) image(ctx context.Context, st *catalog.Store, r *record) (*catalog.Image, error) {
	list, err := p.catalog.Images.ByFileName(ctx, r.Store, r.As)
	if err != nil {
		return nil, err
	}
	want := fsx.Identity{Size: r.Length, MTime: r.MTime}
	if r.Series != "" {
		want = source.SeriesIdentity(r.Series, []fsx.Identity{want})
	}
	for i := range list {
		if id := list[i].Identity; id.Size == want.Size && id.MTime == want.MTime {
			return &list[i], nil
		}
	}
	if r.Series != "" {
		return p.slideOf(ctx, st, r)
	}
	im, err := p.catalog.Images.ByDigest(ctx, r.Store, r.Digest)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && im.DeletedAt != nil {
		return nil, nil
	}
	return im, err
}

// slideOf returns the image of the DICOM series of a received file: the one that arrives, while
// the file is in the incoming folder, and then the stored slide; nil if it has no image.
func (p *views) slideOf(ctx context.Context, st *catalog.Store, r *record) (*catalog.Image, error) {
	at := managed.SeriesPath(r.Series)
	if _, err := os.Lstat(st.File(managed.Incoming + r.As)); err == nil {
		at = catalog.SeriesPath(managed.Incoming, r.Series)
	}
	im, err := p.catalog.Images.ByPath(ctx, r.Store, at)
	if err == nil && im.DeletedAt != nil || errors.Is(err, catalog.ErrNotFound) {
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
