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

// An original is the sidecar of a picture that a pyramid was made of.
type original struct {
	Image    string `json:"image"`     // id it had as an image
	FileName string `json:"file_name"` // name it came with
	Pyramid  string `json:"pyramid"`   // digest of the pyramid's file
}

// convertImage makes a pyramid of a picture that a managed store has in quarantine
// because it is none, and puts it where files arrive. The picture is kept among the
// originals, and its image is deleted. When that is broken off, it is done again
// with the same bytes: an import finds second copies.
func (h *Handlers) convertImage(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	r, err := h.pyramid(ctx, t, a)
	if err == nil || ctx.Err() != nil || !lasting(err) && t.Attempt < convertAttempts {
		return r, err
	}
	return r, errors.Join(err, unconverted(ctx, h.Catalog, a.Image, err))
}

// convertAttempts is how often it is tried to make a pyramid.
const convertAttempts = 3

// unconverted notes that no pyramid can be made of an image, so that it is not tried
// again before the file is another, or a person asks for it.
func unconverted(ctx context.Context, c *catalog.Catalog, image string, why error) error {
	_, err := c.UpdateImage(ctx, image, func(im *catalog.Image) error {
		if im.State == catalog.Quarantined && !im.Unconverted {
			im.Unconverted = true
			im.Reason += "; no pyramid can be made of it: " + strings.TrimPrefix(why.Error(), "convert: ")
		}
		return nil
	})
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	return err
}

// convertible reports whether an image is what a managed store has set aside.
func convertible(st *catalog.Store, im *catalog.Image) bool {
	return st.Mode == catalog.Managed && im.DeletedAt == nil && im.State == catalog.Quarantined && strings.HasPrefix(im.Path, "quarantine/")
}

func (h *Handlers) pyramid(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	im, err := h.Catalog.Image(ctx, a.Image)
	if err != nil {
		return nil, err
	}
	st, err := h.Catalog.Store(ctx, im.StoreID)
	if err != nil {
		return nil, err
	}
	if !convertible(st, im) {
		return nil, task.Permanent(errors.New("only what a managed store has in quarantine is converted"))
	}
	in := st.File(im.Path)
	ctx, end := h.Decode.Begin(ctx, 0)
	defer end()
	if ok, why := convert.Needed(ctx, in); !ok {
		return nil, task.Permanent(fmt.Errorf("not to be converted: %s", why))
	}
	out := st.File("incoming/" + filepath.Base(im.FileName) + ".tiff")
	// Under a name that nobody looks at until the original is safe.
	hidden := st.File("incoming/.ptiffstore-" + im.ID + ".part")
	defer os.Remove(hidden)
	cl := h.claims.begin(st.ID)
	defer h.claims.end(cl)
	r, err := convert.File(ctx, in, hidden, convert.Options{
		Force: true, Expansion: expansion, Room: h.room(ctx, st, cl),
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

// defaultReserve is what conversions leave free of a disk, as uploads do.
const defaultReserve = 256 << 20

// expansion is how many bytes a pyramid may take for each byte of its picture's file.
const expansion = 64

// claimStep is what a conversion claims beyond what it has written. It asks for room more
// often than that.
const claimStep = 8 << 20

// room says whether a store may take so many bytes more of a pyramid: by its quota, of
// which other conversions that are at work have their parts, and by what is free of its
// disk.
func (h *Handlers) room(ctx context.Context, st *catalog.Store, cl *claim) func(written, more int64) error {
	reserve := h.Reserve
	if reserve == 0 {
		reserve = defaultReserve
	}
	dir := filepath.Dir(st.File("incoming/pyramid"))
	return func(written, more int64) error {
		if err := h.withinQuota(ctx, cl, written, more); err != nil {
			return err
		}
		free, err := fsx.Free(dir)
		if err != nil {
			return err
		}
		if free-reserve < more {
			return fmt.Errorf("%w: about %d bytes more are needed, and its disk has %d besides the %d that stay free", errNoRoom, more, max(0, free-reserve), reserve)
		}
		return nil
	}
}

// withinQuota compares a pyramid with what its store's quota leaves now: other slides may
// have been taken in since it was begun.
func (h *Handlers) withinQuota(ctx context.Context, cl *claim, written, more int64) error {
	st, err := h.Catalog.Store(ctx, cl.store)
	if err != nil || st.Quota == 0 {
		return err
	}
	left, ok := h.claims.claim(cl, written+more, written+min(more, claimStep), st.Quota-st.Bytes)
	if !ok {
		return fmt.Errorf("%w: about %d bytes are needed, and its quota leaves %d beside other conversions: delete slides, or raise the quota", errNoRoom, written+more, max(0, left))
	}
	return nil
}

// errNoRoom: the store has no room for a pyramid.
var errNoRoom = errors.New("no room in the store")

// sameBytes reports whether err is that the very pyramid is there already: its making
// was broken off behind that.
func sameBytes(ctx context.Context, a, b string, err error) bool {
	if !errors.Is(err, convert.ErrExists) {
		return false
	}
	x, _, errX := fsx.SHA256File(ctx, a)
	y, _, errY := fsx.SHA256File(ctx, b)
	return errX == nil && errY == nil && x == y
}

// appear gives a file its name, unless there is one of that name.
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

// nameless takes names of files out of an error, and says whether trying again is
// of use.
func nameless(err error) error {
	if lasting(err) {
		return task.Permanent(err)
	}
	return fsx.WithoutPath(err)
}

// lasting reports errors that are of the picture, and will be the same the next time.
func lasting(err error) bool {
	var damaged *convert.FormatError
	var broken *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	return errors.As(err, &damaged) || errors.As(err, &broken) || errors.As(err, &unsupported) || errors.Is(err, convert.ErrUnsupported) || errors.Is(err, convert.ErrExists) || errors.Is(err, render.ErrTooLarge)
}

// keepOriginal links the picture at in into the store's originals, and writes what it
// is beside it.
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
