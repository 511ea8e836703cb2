package taskhandler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/tiff"
)

// An original is the sidecar of an image that was converted to a pyramid.
type original struct {
	Image    string `json:"image"`     // id it had as an image
	FileName string `json:"file_name"` // its original name
	Pyramid  string `json:"pyramid"`   // digest of the pyramid's file
}

// convertImage converts an image that a managed store has in quarantine, because it is not a
// pyramid, and puts the pyramid into the incoming folder. It moves the original file to the
// originals and deletes the image. After an interruption it starts again and produces the
// same bytes, and the import recognizes duplicates.
func (h *Handlers) convertImage(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	r, err := h.pyramid(ctx, t, a)
	if err == nil || ctx.Err() != nil || !lasting(err) && t.Attempt < convertAttempts {
		return r, err
	}
	return r, errors.Join(err, unconverted(ctx, h.Catalog, a.Image, err))
}

// convertAttempts is the maximum number of attempts to convert an image.
const convertAttempts = 3

// unconverted records that an image cannot be converted, so that the conversion is not
// repeated until the file changes or a user submits it.
func unconverted(ctx context.Context, c *catalog.Catalog, image string, why error) error {
	_, err := c.Images.Update(ctx, image, func(im *catalog.Image) error {
		if im.State == catalog.Quarantined && !im.Unconverted {
			im.Unconverted = true
			im.Reason += "; it cannot be converted to a pyramid: " + why.Error()
		}
		return nil
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	return err
}

// convertible reports whether an image is in the quarantine of a managed store.
func convertible(st *catalog.Store, im *catalog.Image) bool {
	return st.ManagedFolder() && im.DeletedAt == nil && im.State == catalog.Quarantined && strings.HasPrefix(im.Path, "quarantine/")
}

func (h *Handlers) pyramid(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	im, err := h.Catalog.Images.Get(ctx, a.Image)
	if err != nil {
		return nil, err
	}
	st, err := h.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return nil, err
	}
	if !convertible(st, im) {
		return nil, task.Permanent(errors.New("only quarantined files of managed stores are converted"))
	}
	in := st.File(im.Path)
	ctx, end := h.Decode.Begin(ctx, 0)
	defer end()
	if ok, why := convert.Needed(ctx, in); !ok {
		return nil, task.Permanent(fmt.Errorf("not to be converted: %s", why))
	}
	out := st.File("incoming/" + filepath.Base(im.FileName) + ".tiff")
	// Scans ignore this name, until the original is safe.
	hidden := st.File("incoming/.ptiffstore-" + im.ID + ".part")
	defer os.Remove(hidden)
	cl := h.claims.begin(st.ID)
	defer h.claims.end(cl)
	r, err := convert.File(ctx, in, hidden, convert.Options{
		Force: true, Expansion: expansion, CheckSpace: h.checkSpace(ctx, st, managed.Incoming, cl),
		Progress: func(done, total int64) { t.Progress(done, total, "rows") },
	})
	if err != nil {
		return nil, nameless(err)
	}
	if err := keepOriginal(ctx, st, im, in, hidden); err != nil {
		return nil, nameless(err)
	}
	if err := appear(hidden, out); err != nil && !sameBytes(ctx, hidden, out, err) {
		return nil, nameless(err)
	}
	h.claims.finish(cl, out, r.Bytes)
	return r, h.Syncer.Remove(ctx, im.ID)
}

// defaultReserve is how many bytes of a disk conversions leave free, as uploads do.
const defaultReserve = 256 << 20

// expansion is the maximum size of a pyramid relative to its original.
const expansion = 64

// claimStep is how many bytes a conversion claims beyond those that it has written. It
// checks the space at shorter intervals.
const claimStep = 8 << 20

// checkSpace returns a function that reports whether a store has space for more bytes of a
// file: within its quota, less the claims of other conversions, and on the disk of one of its
// folders.
func (h *Handlers) checkSpace(ctx context.Context, st *catalog.Store, folder string, cl *claim) func(written, more int64) error {
	reserve := h.Reserve
	if reserve == 0 {
		reserve = defaultReserve
	}
	dir := filepath.Dir(st.File(folder + "x")) // folder is a prefix of paths
	return func(written, more int64) error {
		if err := h.withinQuota(ctx, cl, written, more); err != nil {
			return err
		}
		free, err := fsx.Free(dir)
		if err != nil {
			return err
		}
		if free-reserve < more {
			return fmt.Errorf("%w: about %d more bytes are needed, and its disk has %d besides the %d that stay free", errNoSpace, more, max(0, free-reserve), reserve)
		}
		return nil
	}
}

// withinQuota compares a pyramid with the remaining quota of its store, which other slides
// may have used since the conversion began.
func (h *Handlers) withinQuota(ctx context.Context, cl *claim, written, more int64) error {
	st, err := h.Catalog.Stores.Get(ctx, cl.store)
	if err != nil || st.Quota == 0 {
		return err
	}
	left, ok := h.claims.claim(cl, written+more, written+min(more, claimStep), st.Quota-st.Bytes)
	if !ok {
		return fmt.Errorf("%w: about %d bytes are needed, and its quota leaves %d beside other conversions: delete slides, or raise the quota", errNoSpace, written+more, max(0, left))
	}
	return nil
}

// errNoSpace reports that a store has no space for a pyramid.
var errNoSpace = errors.New("not enough space in the store")

// sameBytes reports whether err is that an identical pyramid exists, from a conversion that
// was interrupted after writing it.
func sameBytes(ctx context.Context, a, b string, err error) bool {
	if !errors.Is(err, convert.ErrExists) {
		return false
	}
	x, _, errX := fsx.SHA256File(ctx, a)
	y, _, errY := fsx.SHA256File(ctx, b)
	return errX == nil && errY == nil && x == y
}

// appear gives a file its name, unless that name exists.
func appear(hidden, out string) error {
	switch err := os.Link(hidden, out); {
	case errors.Is(err, os.ErrExist):
		return convert.ErrExists
	case err == nil:
		return fsx.SyncFolder(filepath.Dir(out))
	}
	if _, err := os.Lstat(out); err == nil {
		return convert.ErrExists
	}
	if err := os.Rename(hidden, out); err != nil { // a file system without links
		return err
	}
	return fsx.SyncFolder(filepath.Dir(out))
}

// nameless removes names of files from an error, and makes it permanent if trying again
// cannot help.
func nameless(err error) error {
	if lasting(err) {
		return task.Permanent(err)
	}
	return fsx.WithoutPath(err)
}

// lasting reports whether the image causes the error, so that it will occur again.
func lasting(err error) bool {
	var damaged *convert.FormatError
	var broken *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	return errors.As(err, &damaged) || errors.As(err, &broken) || errors.As(err, &unsupported) || errors.Is(err, convert.ErrUnsupported) || errors.Is(err, convert.ErrExists) || errors.Is(err, render.ErrTooLarge)
}

// keepOriginal links the file at in into the store's originals, and writes its sidecar.
func keepOriginal(ctx context.Context, st *catalog.Store, im *catalog.Image, in, out string) error {
	digest, _, err := fsx.SHA256File(ctx, in)
	if err != nil {
		return err
	}
	o := original{Image: im.ID, FileName: im.FileName}
	if o.Pyramid, _, err = fsx.SHA256File(ctx, out); err != nil {
		return err
	}
	dir := filepath.Join(st.Root, managed.Originals, digest[:2])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(filepath.Join(dir, digest+".json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Link(in, filepath.Join(dir, digest)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fsx.SyncFolder(dir)
}
