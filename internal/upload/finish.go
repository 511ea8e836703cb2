package upload

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// maxNames bounds how many files of one name there may be in an incoming folder.
const maxNames = 1000

// finish makes a complete upload a slide of its store, or refuses it.
func finish(ctx context.Context, d destination, r *record) error {
	if r.State != uploading || !r.complete() {
		return nil
	}
	return d.finish(ctx, r)
}

// finish moves the complete file of an upload to the store, or removes it if its digest
// is not the promised one.
func (f *folder) finish(ctx context.Context, r *record) error {
	st, err := f.dir.Lstat(part(r.ID))
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.As != "":
		return f.end(r, received) // the process ended between the rename and its record
	case errors.Is(err, fs.ErrNotExist):
		return errLost
	case err != nil:
		return err
	}
	if r.Digest, err = digestOf(r.Hash); err != nil {
		return err
	}
	if r.Want != "" && r.Want != r.Digest {
		return f.refuse(r)
	}
	look := inspect.File(context.WithoutCancel(ctx), source.In(f.dir), part(r.ID))
	r.Kind, r.Reason, r.MTime = look.Kind, look.Reason, st.ModTime().UnixNano()
	r.Series = f.seriesOf(r)
	id, err := f.hand(r)
	if err != nil {
		return err
	}
	// The rename has changed only the ctime, unless the file was written to or replaced.
	if was := look.Identity; id.Dev == was.Dev && id.Ino == was.Ino && id.Size == was.Size && id.MTime == was.MTime && id.Size == r.Length {
		f.received.Put(id, r.Digest, look)
	}
	return f.end(r, received)
}

// seriesOf returns the DICOM series that the file of an upload is an instance of, "" if it is
// none.
func (f *folder) seriesOf(r *record) string {
	file, err := fsx.OpenIn(f.dir, part(r.ID))
	if err != nil {
		return ""
	}
	defer file.Close()
	d, _ := dicom.Read(file, r.Length) // the beginning of an incomplete file
	if d == nil || !d.IsSlide() || !strings.HasSuffix(strings.ToLower(r.Name), ".dcm") {
		return ""
	}
	if uid := d.Data.Text(dicom.SeriesInstanceUID); catalog.IsUID(uid) {
		return uid
	}
	return ""
}

// hand renames the file into the incoming folder, and returns its identity there. The
// new name is recorded first.
func (f *folder) hand(r *record) (fsx.Identity, error) {
	if err := f.dir.Chmod(part(r.ID), 0o644); err != nil {
		return fsx.Identity{}, err
	}
	for n := 1; n <= maxNames; n++ {
		r.As = numbered(r.Name, n)
		if _, err := f.in.Lstat(r.As); err == nil {
			continue
		}
		if err := f.save(r); err != nil {
			return fsx.Identity{}, err
		}
		if id, err := f.give(r.ID, r.As); !errors.Is(err, fs.ErrExist) {
			return id, err
		}
	}
	return fsx.Identity{}, fmt.Errorf("the incoming folder has %d files with the name of upload %s: sync the store", maxNames, r.ID)
}

func (f *folder) end(r *record, s state) error {
	r.State, r.UsedAt, r.Hash = s, time.Now(), nil
	return f.save(r)
}

// refuse removes the bytes of an upload and its file name, and records the reason.
func (f *folder) refuse(r *record) error {
	r.Name, r.Metadata = "", ""
	if err := f.end(r, refused); err != nil {
		return err
	}
	if err := f.dir.Remove(part(r.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsx.SyncRoot(f.dir)
}

// digestOf computes a SHA-256 from its saved state.
func digestOf(state []byte) (string, error) {
	var h hash.Hash = sha256.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// settle finishes an upload that is complete and was not finished, unless another
// request or process has claimed it, and returns its updated record.
func (c *receiver) settle(ctx context.Context, d destination, id string) (*record, error) {
	h, err := c.holds.take(id, false)
	if errors.Is(err, errLocked) || errors.Is(err, errClosing) {
		return d.load(id)
	}
	if err != nil {
		return nil, err
	}
	defer h.release()
	r, err := d.load(id)
	if err != nil || r.State != uploading || !r.complete() {
		return r, err
	}
	release, err := d.claim(id)
	if errors.Is(err, errLocked) {
		return r, nil // another process has claimed it
	}
	if err != nil {
		return nil, err
	}
	defer release()
	if r, err = d.load(id); err != nil {
		return nil, err
	}
	return r, finish(ctx, d, r)
}
