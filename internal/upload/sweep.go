package upload

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// sweepPause is how often expired uploads are removed.
const sweepPause = 10 * time.Minute

// sweep removes expired uploads in every store whose folder can be reached, and
// finishes complete ones that a process left unfinished.
func (u *Uploads) sweep(ctx context.Context) error {
	stores, err := u.o.Catalog.Stores.List(ctx)
	if err != nil {
		return err
	}
	for i := range stores {
		if stores[i].Mode != catalog.Managed {
			continue
		}
		f, err := u.open(&stores[i], false)
		if err != nil {
			continue // unreachable, or without uploads
		}
		n, err := u.sweepFolder(ctx, f)
		f.close()
		if n > 0 {
			u.o.Log.Info("expired uploads removed", "store", stores[i].ID, "uploads", n)
		}
		if err != nil {
			u.o.Log.Warn("expired uploads not removed", "store", stores[i].ID, "err", fsx.WithoutPath(err))
		}
	}
	return nil
}

func (u *Uploads) sweepFolder(ctx context.Context, f *folder) (removed int, err error) {
	if err := f.ix.refresh(f, 0); err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range f.ix.all(u.isDue) {
		if ctx.Err() != nil {
			return removed, errors.Join(errs...)
		}
		if !u.expired(&e) {
			_, err := u.settle(ctx, f, e.id)
			errs = append(errs, err)
			continue
		}
		ok, err := u.expire(f, e.id)
		errs = append(errs, err)
		if ok {
			removed++
		}
	}
	names, err := f.names()
	errs = append(errs, err)
	for _, name := range names {
		if id, _, _ := strings.Cut(name, "."); !f.ix.has(id) {
			errs = append(errs, u.orphan(f, name))
		}
	}
	return removed, errors.Join(errs...)
}

// isDue reports whether an upload has expired, or is complete and unfinished.
func (u *Uploads) isDue(e *entry) bool {
	return !e.pending && (u.expired(e) || e.isOpen() && e.offset == e.length)
}

// expire removes an upload, unless a request or process has claimed it.
func (u *Uploads) expire(f *folder, id string) (bool, error) {
	h, err := u.take(id, false)
	if err != nil {
		return false, nil //nolint:nilerr // changed since: it has not expired
	}
	defer h.release()
	release, err := f.claim(id)
	if err != nil {
		return false, nil //nolint:nilerr // another process has claimed it
	}
	defer release()
	r, err := f.load(id)
	if err != nil || time.Now().Before(u.recordExpires(r)) {
		return false, err
	}
	return true, f.remove(id)
}

// orphan removes a file without a record, unless it is so new that its upload may just
// be being created.
func (u *Uploads) orphan(f *folder, name string) error {
	st, err := f.dir.Lstat(name)
	if err != nil || st.IsDir() || time.Since(st.ModTime()) < u.o.Keep {
		return nil //nolint:nilerr // removed since
	}
	if err := f.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
