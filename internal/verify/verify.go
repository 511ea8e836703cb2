package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// DefaultRate is the read limit in bytes per second for a store without its own: half
// of what one disk delivers, so that tiles are still served.
const DefaultRate = 100e6

var (
	// ErrNoRoot: the store's folder is unreachable, so its files can't be checked.
	ErrNoRoot = errors.New("the store's folder is unreachable: mount its disk, or make it readable")
	// ErrNotReady: the image is in a state in which its file can't be compared with the
	// catalog.
	ErrNotReady = errors.New("the image is neither available nor damaged")
)

// A Verifier reads the files of stores and compares their bytes with the catalog.
type Verifier struct {
	Catalog *catalog.Catalog
	Sources *source.Pool // opens buckets; nil to verify no stores in buckets
	Log     *slog.Logger // nil for none
}

// A Result is the result of a run. Numbers count files.
type Result struct {
	Checked    int       `json:"checked"`    // read, and correct
	Hashed     int       `json:"hashed"`     // of those: files whose digest was not known and has been recorded
	Damaged    []Finding `json:"damaged"`    // read twice, and wrong
	Unreadable []Finding `json:"unreadable"` // could not be checked
	Bytes      int64     `json:"bytes"`      // bytes read
	Duration   float64   `json:"duration"`   // seconds
}

// A Finding is a problem with the file of an image. It holds no file name.
type Finding struct {
	Image  string `json:"image"` // id
	Reason string `json:"reason"`
}

// maxUnreadable bounds the files that are listed in a result.
const maxUnreadable = 1000

// Store reads the available images of a store that were not read since it began: first
// those without a digest, which it records, then those verified longest ago. So a run
// continues where the last one was interrupted or reached its limit. It reads each file
// once, and a wrong one twice.
//
// Stores whose images are not files have nothing to verify.
//
// Damage is recorded in the catalog: the image becomes broken, and its tiles are not
// served any more. A problem with one file does not stop the run.
//
// The error is [ErrNoRoot], or one of the catalog or the context; the result then holds
// what was done before.
func (v *Verifier) Store(ctx context.Context, store string, o Options) (Result, error) {
	st, err := v.Catalog.Stores.Get(ctx, store)
	if err != nil {
		return newRun(v, &catalog.Store{}, o).result, err
	}
	r := newRun(v, st, o)
	if !v.reads(st) {
		return r.result, nil
	}
	total := st.Counts[catalog.Available]
	if o.Limit > 0 {
		total = min(total, o.Limit)
	}
	done := 0
	began := time.Now()
	err = r.rootIsThere()
	if err == nil && total > 0 {
		err = v.Catalog.Verification.EachDue(ctx, store, began, func(e *catalog.Entry) error {
			if err := r.check(ctx, e, nil); err != nil {
				return err
			}
			if done++; o.Progress != nil {
				o.Progress(int64(done), int64(max(done, total)))
			}
			if done == o.Limit {
				return errLimit
			}
			return nil
		})
	}
	if errors.Is(err, errLimit) {
		err = nil
	}
	r.result.Duration = time.Since(began).Seconds()
	return r.result, err
}

var errLimit = errors.New("limit of files reached")

// Image reads the file of one image that is available or damaged: if its bytes are
// correct again, it becomes available again. Progress is in bytes.
//
// The error is [ErrNotReady], or as that of [Verifier.Store]. A damaged or unreadable
// file is not an error: it is in the result.
func (v *Verifier) Image(ctx context.Context, id string, o Options) (Result, error) {
	began := time.Now()
	im, err := v.Catalog.Images.Get(ctx, id)
	if err != nil {
		return newRun(v, &catalog.Store{}, o).result, err
	}
	st, err := v.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return newRun(v, &catalog.Store{}, o).result, err
	}
	r := newRun(v, st, o)
	if !v.reads(st) {
		return r.result, fmt.Errorf("%w: image %s is not a file that can be read here: its tiles are in a database", ErrNotReady, im.ID)
	}
	if im.State != catalog.Available && (im.State != catalog.Broken || im.DamagedAt == nil) {
		return r.result, fmt.Errorf("%w: image %s is %s", ErrNotReady, im.ID, im.State)
	}
	e := &catalog.Entry{ID: im.ID, StoreID: im.StoreID, State: im.State, Path: im.Path, Revision: im.Revision, Identity: im.Identity}
	if im.Digest != nil {
		e.Digest = *im.Digest
	}
	if err = r.rootIsThere(); err == nil {
		err = r.check(ctx, e, o.Progress)
	}
	r.result.Duration = time.Since(began).Seconds()
	return r.result, err
}

// reads reports whether the images of a store are files that this process can read.
func (v *Verifier) reads(st *catalog.Store) bool {
	return st.Kind == catalog.Directory || st.Kind == catalog.S3 && v.Sources != nil
}

// A run reads files of one store, one after the other.
type run struct {
	*Verifier
	store  *catalog.Store
	pacer  *pacer
	result Result
}

func newRun(v *Verifier, st *catalog.Store, o Options) *run {
	rate := o.Rate
	if rate == 0 {
		rate = st.VerifyRate
	}
	if rate == 0 {
		rate = DefaultRate
	}
	return &run{v, st, newPacer(rate), Result{Damaged: []Finding{}, Unreadable: []Finding{}}}
}

// rootIsThere returns [ErrNoRoot] if the store's folder can't be read, or is empty like
// the mount point of a disk that is not mounted.
func (r *run) rootIsThere() error {
	if r.store.Kind == catalog.S3 {
		return r.bucketIsThere()
	}
	f, err := fsx.OpenFolder(r.store.Root)
	if err == nil {
		defer f.Close()
		_, err = f.Readdirnames(1)
	}
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it is empty", ErrNoRoot)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoRoot, fsx.WithoutPath(err))
	}
	return nil
}

// check reads the file of an image and records the result. An error ends the run.
func (r *run) check(ctx context.Context, e *catalog.Entry, progress func(done, total int64)) error {
	digest, same, err := r.read(ctx, e, progress)
	if err == nil && e.Digest != "" && digest != e.Digest {
		digest, err = r.readAgain(ctx, e, digest)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		if rootErr := r.rootIsThere(); rootErr != nil {
			return rootErr
		}
		r.unreadable(ctx, e, reason(err))
		return nil
	case e.Digest == "" && !same:
		r.unreadable(ctx, e, "the file was changed since it was last inspected: sync the store, and verify it again")
		return nil
	}
	return r.record(ctx, e, digest)
}

// record records a file's digest, or its damage, in the catalog.
func (r *run) record(ctx context.Context, e *catalog.Entry, digest string) error {
	var err error
	switch e.Digest {
	case "":
		err = r.Catalog.Verification.SetDigest(ctx, e.ID, e.Revision, digest)
	case digest:
		err = r.Catalog.Verification.Passed(ctx, e.ID, e.Revision, time.Now())
	default:
		words := damage(e, digest)
		if err = r.Catalog.Verification.Failed(ctx, e.ID, e.Revision, words, time.Now()); err == nil {
			r.result.Damaged = append(r.result.Damaged, Finding{e.ID, words})
			r.log().ErrorContext(ctx, "file is damaged, its tiles are no longer served", "image", e.ID, "store", e.StoreID, "reason", words)
			return nil
		}
	}
	switch {
	case errors.Is(err, catalog.ErrOldRevision), errors.Is(err, catalog.ErrNotFound), errors.Is(err, catalog.ErrConflict):
		r.unreadable(ctx, e, "the image was changed in the catalog meanwhile: verify it again")
		return nil
	case err != nil:
		return err
	}
	r.result.Checked++
	if e.Digest == "" {
		r.result.Hashed++
	}
	return nil
}

// read returns the digest of an image's file, and whether the file is the cataloged
// one. A file with another size or mtime was written to, which is left to the scanner.
func (r *run) read(ctx context.Context, e *catalog.Entry, progress func(done, total int64)) (digest string, same bool, err error) {
	switch {
	case r.store.Kind == catalog.S3:
		return r.readObject(ctx, e, progress)
	case catalog.IsSeries(e.Path):
		return r.readSeries(ctx, e, progress)
	}
	f, err := fsx.Open(r.store.File(e.Path))
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	id, err := fsx.IdentifyFile(f)
	if err != nil {
		return "", false, err
	}
	if id.Size != e.Identity.Size || id.MTime != e.Identity.MTime {
		return "", false, errWritten
	}
	last := int64(0)
	digest, err = hash(ctx, f, r.pacer, func(done, total int64) {
		r.result.Bytes += done - last
		last = done
		if progress != nil {
			progress(done, total)
		}
	})
	return digest, id.Same(e.Identity), err
}

// readSeries is read for a series of files.
func (r *run) readSeries(ctx context.Context, e *catalog.Entry, progress func(done, total int64)) (digest string, same bool, err error) {
	d, err := source.OpenStore(r.store, e.Path)
	if err != nil {
		return "", false, err
	}
	defer d.Close()
	id, err := d.Identify(e.Path)
	if err != nil {
		return "", false, err
	}
	if id.Size != e.Identity.Size || id.MTime != e.Identity.MTime {
		return "", false, errWritten
	}
	files, err := d.Members(e.Path)
	if err != nil {
		return "", false, err
	}
	var before, last int64 // bytes of earlier files, and of this one
	digest, err = hashSeries(ctx, len(files), func(i int) (*os.File, error) {
		before, last = before+last, 0
		return d.OpenFile(files[i].Path)
	}, r.pacer, func(done, _ int64) {
		r.result.Bytes += done - last
		last = done
		if progress != nil {
			progress(before+done, id.Size)
		}
	})
	if err != nil {
		return "", false, err
	}
	if after, err := d.Identify(e.Path); err != nil || after != id {
		return "", false, ErrChanged
	}
	return digest, id.Same(e.Identity), nil
}

var errWritten = errors.New("the file was written since it was last inspected: sync the store, and verify it again")

// readAgain reads a file whose digest was wrong a second time. Errors of a disk, a
// cable or memory are not always repeated.
func (r *run) readAgain(ctx context.Context, e *catalog.Entry, first string) (string, error) {
	digest, _, err := r.read(ctx, e, nil)
	if err == nil && digest != first {
		return "", errUnsteady
	}
	return digest, err
}

var errUnsteady = errors.New("two reads of the file returned different bytes: check the disk, cables and memory of this machine")

// damage describes what is wrong with a file, and what to do.
func damage(e *catalog.Entry, digest string) string {
	return fmt.Sprintf("the bytes of the file do not match its digest (SHA-256 %.12s…, not %.12s…), although its size and time have not changed since %s: replace it with an intact copy, and verify it again",
		digest, e.Digest, time.Unix(0, e.Identity.MTime).UTC().Format("2006-01-02"))
}

// reason describes an error for users: without the file's name, and with what to do.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "the file no longer exists: sync the store"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("permission denied: make the file and its folders readable for user %d", os.Geteuid())
	case errors.Is(err, syscall.EIO):
		return plain(err) + ": check the disk"
	}
	return plain(err)
}

// plain is the text of an error without the name of its file.
func plain(err error) string {
	return fsx.WithoutPath(err).Error()
}

func (r *run) unreadable(ctx context.Context, e *catalog.Entry, reason string) {
	if len(r.result.Unreadable) < maxUnreadable {
		r.result.Unreadable = append(r.result.Unreadable, Finding{e.ID, reason})
	}
	r.log().WarnContext(ctx, "cannot verify file", "image", e.ID, "store", e.StoreID, "reason", reason)
}

func (v *Verifier) log() *slog.Logger {
	if v.Log != nil {
		return v.Log
	}
	return slog.New(slog.DiscardHandler)
}
