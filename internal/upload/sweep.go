package upload

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// sweepPause is how often expired uploads are removed.
const sweepPause = 10 * time.Minute

// A sweeper removes expired uploads.
type sweeper struct {
	catalog  *catalog.Catalog
	folders  *folders
	holds    *holds
	receiver *receiver
	log      *slog.Logger
}

// sweep removes expired uploads in every store whose folder can be reached, and
// finishes complete ones that a process left unfinished.
func (s *sweeper) sweep(ctx context.Context) error {
	stores, err := s.catalog.Stores.List(ctx)
	if err != nil {
		return err
	}
	for i := range stores {
		if stores[i].Mode != catalog.Managed {
			continue
		}
		d, err := s.folders.open(ctx, &stores[i], false)
		if err != nil {
			continue // unreachable, or without uploads
		}
		n, err := s.sweepStore(ctx, d)
		d.close()
		if n > 0 {
			s.log.Info("expired uploads removed", "store", stores[i].ID, "uploads", n)
		}
		if err != nil {
			s.log.Warn("expired uploads not removed", "store", stores[i].ID, "err", fsx.WithoutPath(err))
		}
	}
	return nil
}

func (s *sweeper) sweepStore(ctx context.Context, d destination) (removed int, err error) {
	if err := d.indexOf().refresh(d, 0); err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range d.indexOf().all(d.isDue) {
		if ctx.Err() != nil {
			return removed, errors.Join(errs...)
		}
		if !d.expired(&e) {
			_, err := s.receiver.settle(ctx, d, e.id)
			errs = append(errs, err)
			continue
		}
		ok, err := s.expire(d, e.id)
		errs = append(errs, err)
		if ok {
			removed++
		}
	}
	return removed, errors.Join(append(errs, d.sweep(ctx))...)
}

// sweep removes files without a record.
func (f *folder) sweep(context.Context) error {
	names, err := f.names()
	errs := []error{err}
	for _, name := range names {
		if id, _, _ := strings.Cut(name, "."); !f.ix.has(id) {
			errs = append(errs, f.removeOrphan(name))
		}
	}
	return errors.Join(errs...)
}

// expire removes an upload, unless a request or process has claimed it.
func (s *sweeper) expire(d destination, id string) (bool, error) {
	h, err := s.holds.take(id, false)
	if err != nil {
		return false, nil //nolint:nilerr // changed since: it has not expired
	}
	defer h.release()
	release, err := d.claim(id)
	if err != nil {
		return false, nil //nolint:nilerr // another process has claimed it
	}
	defer release()
	r, err := d.load(id)
	if err != nil || time.Now().Before(s.folders.recordExpires(r)) {
		return false, err
	}
	return true, d.remove(id)
}

// removeOrphan removes a file without a record, unless it is so new that its upload may just
// be being created.
func (f *folder) removeOrphan(name string) error {
	st, err := f.dir.Lstat(name)
	if err != nil || st.IsDir() || time.Since(st.ModTime()) < f.keep {
		return nil //nolint:nilerr // removed since
	}
	if err := f.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
