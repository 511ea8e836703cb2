package upload

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// sweepPause is how often expired uploads are looked for.
const sweepPause = time.Hour

// sweep removes what has expired in every store whose folder can be reached, and
// finishes what was complete when a process ended.
func (u *Uploads) sweep(ctx context.Context) error {
	stores, err := u.o.Catalog.Stores(ctx)
	if err != nil {
		return err
	}
	for i := range stores {
		if stores[i].Mode != catalog.Managed {
			continue
		}
		f, err := openFolder(&stores[i], false)
		if err != nil {
			continue // out of reach, or it never had one
		}
		n, err := u.sweepFolder(ctx, f)
		f.close()
		if n > 0 {
			u.o.Log.Info("expired uploads removed", "store", stores[i].ID, "uploads", n)
		}
		if err != nil {
			u.o.Log.Warn("expired uploads not removed", "store", stores[i].ID, "err", bare(err))
		}
	}
	return nil
}

func (u *Uploads) sweepFolder(ctx context.Context, f *folder) (removed int, err error) {
	names, err := f.names()
	if err != nil {
		return 0, err
	}
	live := map[string]bool{}
	var errs []error
	for _, name := range names {
		id, ok := strings.CutSuffix(name, ".json")
		if !ok || ctx.Err() != nil {
			continue
		}
		r, err := u.settle(ctx, f, id)
		switch {
		case err != nil:
			errs = append(errs, err)
			live[id] = r != nil
		case u.expired(r):
			ok, err := u.expire(f, id)
			errs = append(errs, err)
			if live[id] = !ok; ok {
				removed++
			}
		default:
			live[id] = true
		}
	}
	for _, name := range names {
		if id, _, _ := strings.Cut(name, "."); !live[id] {
			errs = append(errs, u.orphan(f, name))
		}
	}
	return removed, errors.Join(errs...)
}

// expire removes an upload, unless somebody is at it.
func (u *Uploads) expire(f *folder, id string) (bool, error) {
	h, err := u.take(id, false)
	if err != nil {
		return false, nil //nolint:nilerr // then it has not expired
	}
	defer h.release()
	r, err := f.load(id)
	if err != nil || !u.expired(r) {
		return false, err
	}
	return true, f.remove(id)
}

// orphan removes a file that no upload knows, when it is old enough not to be one
// that is just being made.
func (u *Uploads) orphan(f *folder, name string) error {
	st, err := f.dir.Lstat(name)
	if err != nil || st.IsDir() || time.Since(st.ModTime()) < u.o.Keep {
		return nil //nolint:nilerr // gone
	}
	if err := f.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
