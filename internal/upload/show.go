package upload

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/web"
)

// A View is an upload as its sender sees it.
type View struct {
	ID        string    `json:"id"`
	Store     string    `json:"store"`
	State     string    `json:"state"`     // uploading, received or refused
	Offset    int64     `json:"offset"`    // bytes that are on the server's disk
	Length    int64     `json:"length"`    // bytes of the whole file
	FileName  *string   `json:"file_name"` // as the store has it
	SHA256    *string   `json:"sha256"`    // of the whole file, once all of it is there
	Verdict   *string   `json:"verdict"`   // slide, broken or unsupported; nil while nothing can be said
	Reason    *string   `json:"reason"`    // why the verdict is not slide, or it was refused, and what to do
	Image     *Image    `json:"image"`     // nil until the catalog has it
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// An Image is what became of the file in the catalog.
type Image struct {
	ID     string  `json:"id"`
	State  string  `json:"state"`
	Reason *string `json:"reason"`
}

// show answers with the upload as JSON.
func (u *Uploads) show(w http.ResponseWriter, r *http.Request) error {
	f, rec, err := u.find(r)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	if rec, err = u.settle(r.Context(), f, rec.ID); err != nil {
		return answer("", err)
	}
	v := u.view(rec)
	if rec.State == received {
		im, err := u.image(r.Context(), rec)
		if err != nil {
			return answer(rec.ID, err)
		}
		if im != nil {
			v.Image = &Image{im.ID, string(im.State), known(im.Reason)}
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return web.WriteJSON(w, http.StatusOK, v)
}

func (u *Uploads) view(r *record) View {
	v := View{
		ID: r.ID, Store: r.Store, State: string(r.State), Offset: r.Offset, Length: r.Length, FileName: known(or(r.As, r.Name)),
		SHA256: known(r.Digest), CreatedAt: r.CreatedAt.UTC(), ExpiresAt: u.expires(r).UTC(),
	}
	reason := strings.TrimRight(r.Reason, ".")
	switch {
	case r.State == refused:
		e, _ := errors.AsType[*web.Error](wrongDigest())
		v.Reason = &e.Detail
	case r.State != received:
	case r.Kind == ingest.Whole:
		v.Verdict = known("slide")
	case r.Kind == ingest.Wrong:
		v.Verdict = known("broken")
		v.Reason = known("It is not a whole pyramidal TIFF: " + reason + ". Compare it with the file that the scanner wrote, and upload that.")
	case r.Kind == ingest.Unsupported:
		v.Verdict = known("unsupported")
		v.Reason = known("It is not a slide that is read here: " + reason + ". Write it as a pyramidal TIFF with JPEG tiles, and upload that.")
	}
	return v
}

// image returns the image of a file that the store was given, nil if it has none yet.
// The file is moved about: its size and mtime stay, and its digest. A slide that the
// store had already is the image that it has.
func (u *Uploads) image(ctx context.Context, r *record) (*catalog.Image, error) {
	list, err := u.o.Catalog.FindByFileName(ctx, r.Store, r.As)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if id := list[i].Identity; id.Size == r.Length && id.MTime == r.MTime {
			return &list[i], nil
		}
	}
	im, err := u.o.Catalog.ImageByDigest(ctx, r.Store, r.Digest)
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
