package taskhandler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/pack"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A Packed is the result of packing images. Numbers of tiles and bytes are sums.
type Packed struct {
	Count      int            `json:"count"`      // images that were packed
	Images     int            `json:"images"`     // images that were to be packed
	Tiles      int64          `json:"tiles"`      // stored tiles
	Padded     int64          `json:"padded"`     // of these, tiles cut at an edge
	Background int64          `json:"background"` // tiles that are not stored
	Damaged    int64          `json:"damaged"`    // damaged tiles that became background
	Bytes      int64          `json:"bytes"`      // of the files; with a dry run, of the tiles
	Failed     []scan.Failure `json:"failed"`
	Wider      []string       `json:"wider"` // why more people can see the images than before
}

var (
	// ErrWider reports that images would be visible to more people in their new store.
	ErrWider = errors.New("more people would see the images in the other store")
	// errOutdated reports an image that is not the one in the catalog.
	errOutdated = errors.New("the image has changed since the last sync: sync its store first")
)

// packImages moves an image of a database or a dump, or all available images of such a store,
// into a managed store: as files with the same tiles. An image that an interrupted attempt
// has moved already is not moved again.
func (h *Handlers) packImages(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	r := Packed{Failed: []scan.Failure{}, Wider: []string{}}
	from, err := h.Catalog.Stores.Get(ctx, a.Store)
	if err != nil {
		return r, err
	}
	to, err := h.Catalog.Stores.Get(ctx, a.Into)
	if err != nil {
		return r, err
	}
	if err := catalog.CheckPack(from, to); err != nil {
		return r, task.Permanent(err)
	}
	if err := h.checkWider(ctx, a, from, to, &r.Wider); err != nil {
		return r, err
	}
	ids, err := h.toPack(ctx, a, from, &r)
	if err != nil {
		return r, err
	}
	p := packing{h: h, t: t, a: a, from: from, to: to, result: &r, single: a.Image != ""}
	return r.done(p.each(ctx, ids))
}

// checkWider sets why more people can see images of a store in another one. The error is
// [ErrWider] if an administrator has to confirm it first.
func (h *Handlers) checkWider(ctx context.Context, a task.Args, from, to *catalog.Store, wider *[]string) (err error) {
	if h.Wider != nil {
		if *wider, err = h.Wider(ctx, from, to); err != nil {
			return err
		}
	}
	if len(*wider) > 0 && !a.Confirm && !a.DryRun {
		return task.WithCode(task.Permanent(fmt.Errorf("%w: %s; an administrator of everything must confirm this", ErrWider, strings.Join(*wider, "; "))), "more_visible")
	}
	return nil
}

// done returns the result with an error, which the system may have given a path.
func (r *Packed) done(err error) (any, error) { return *r, fsx.WithoutPath(err) }

// toPack returns the images to be packed. Those of a store that are not available are
// failures.
func (h *Handlers) toPack(ctx context.Context, a task.Args, from *catalog.Store, r *Packed) (ids []string, err error) {
	if a.Image != "" {
		r.Images = 1
		return []string{a.Image}, nil
	}
	err = h.Catalog.Images.Each(ctx, from.ID, func(im *catalog.Image) error {
		switch {
		case im.DeletedAt != nil:
		case im.State == catalog.Available:
			ids = append(ids, im.ID)
		default:
			r.Failed = append(r.Failed, scan.Failure{Image: im.ID, Reason: fmt.Sprintf("it is %s: %s", im.State, im.Reason)})
		}
		return nil
	})
	r.Images = len(ids) + len(r.Failed)
	return ids, err
}

// A packing is one attempt at a task.
type packing struct {
	h        *Handlers
	t        *task.Task
	a        task.Args
	from, to *catalog.Store
	result   *Packed
	single   bool
}

// each packs the images.
func (p *packing) each(ctx context.Context, ids []string) error {
	return eachImage(ctx, p.t, ids, p.single, &p.result.Failed, func(id string) error {
		r, err := p.one(ctx, id)
		if err == nil {
			p.add(r)
		} else if p.single && (errors.Is(err, pack.ErrUnsupported) || isUnsupported(err)) {
			return task.Permanent(err)
		}
		return err
	})
}

// eachImage calls f with the ids of images, reports the progress, and adds to failed the images
// for which f fails. It ends with an error that concerns all of them, and with any if the task is
// for a single image, of which f reports the progress.
func eachImage(ctx context.Context, t *task.Task, ids []string, single bool, failed *[]scan.Failure, f func(id string) error) error {
	for i, id := range ids {
		if !single {
			t.Progress(int64(i), int64(len(ids)), "images")
		}
		err := f(id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
		case single, concernsAll(err):
			return err
		case errors.Is(err, catalog.ErrNotFound): // deleted meanwhile
		default:
			*failed = append(*failed, scan.Failure{Image: id, Reason: fsx.WithoutPath(err).Error()})
		}
	}
	if !single {
		t.Progress(int64(len(ids)), int64(len(ids)), "images")
	}
	return nil
}

// isUnsupported reports whether an image itself is the cause of an error.
func isUnsupported(err error) bool {
	_, unsupported := errors.AsType[*tiff.UnsupportedError](err)
	return unsupported
}

// concernsAll reports whether an error concerns all images of a store.
func concernsAll(err error) bool {
	for _, e := range []error{
		source.ErrNoRoot, source.ErrUnavailable, managed.ErrFull, errNoSpace, catalog.ErrAway, catalog.ErrFull, catalog.ErrHeld,
		bucket.ErrUnavailable, bucket.ErrDenied, bucketstore.ErrOtherStore,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p *packing) add(r pack.Result) {
	p.result.Count++
	p.result.Tiles += r.Tiles
	p.result.Padded += r.Padded
	p.result.Background += r.Background
	p.result.Damaged += r.Damaged
	p.result.Bytes += r.Bytes
}

// one packs one image, or with a dry run checks whether that is possible.
func (p *packing) one(ctx context.Context, id string) (r pack.Result, err error) {
	ctx, end := p.h.Decode.Begin(ctx, 0)
	defer end()
	if p.a.DryRun {
		im, err := p.h.Catalog.Images.Get(ctx, id)
		if err != nil {
			return r, err
		}
		o, err := p.open(ctx, im)
		if err != nil {
			return r, err
		}
		defer o.Close() //nolint:errcheck // only read
		r.Bytes = im.Identity.Size
		return r, pack.Check(o.Slide)
	}
	cl := p.h.claims.begin(p.to.ID)
	defer p.h.claims.end(cl)
	space := p.h.checkSpace(ctx, p.to, managed.Staging, cl)
	_, err = p.h.Syncer.Adopt(ctx, id, p.from.ID, p.to, managed.Adoption{Write: func(ctx context.Context, im *catalog.Image, f *os.File) (string, error) {
		if err := space(0, im.Identity.Size); err != nil {
			return "", err
		}
		o, err := p.open(ctx, im)
		if err != nil {
			return "", err
		}
		defer o.Close() //nolint:errcheck // only read
		r, err = pack.Write(ctx, o.Slide, f, pack.Options{ID: im.ID, Name: im.FileName, DamagedAsBackground: p.a.Damaged, CheckSpace: space, Progress: p.progress})
		if err != nil {
			return "", err
		}
		return r.Digest, p.unchanged(ctx, im)
	}})
	return r, err
}

// progress reports tiles if there is one image.
func (p *packing) progress(done, total int64) {
	if p.single {
		p.t.Progress(done, total, "tiles")
	}
}

// open opens an image, which must be the one in the catalog.
func (p *packing) open(ctx context.Context, im *catalog.Image) (*source.Slide, error) {
	if im.State != catalog.Available {
		return nil, fmt.Errorf("the image is %s: %s", im.State, im.Reason)
	}
	o, err := p.h.Syncer.Slide(ctx, p.from, im.Path)
	if fsx.IsGone(err) {
		return nil, errOutdated
	}
	if err != nil {
		return nil, err
	}
	if !o.Identity.Same(im.Identity) {
		return nil, errors.Join(errOutdated, o.Close())
	}
	if o.Err != nil {
		return nil, errors.Join(o.Err, o.Close())
	}
	return o, nil
}

// unchanged checks that an image is still the one that was opened.
func (p *packing) unchanged(ctx context.Context, im *catalog.Image) error {
	o, err := p.open(ctx, im)
	if err != nil {
		return err
	}
	return o.Close()
}
