package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// CheckPack returns why images of one store cannot be packed into another one, or nil.
func CheckPack(from, to *Store) error {
	switch {
	case from.Kind != MongoDB && from.Kind != Dump:
		return errors.New("only images of databases and dumps are packed: the slides of this store are files already")
	case to.Mode != Managed:
		return errors.New("images are packed into managed stores only")
	case !to.ManagedFolder():
		return errors.New("images are packed into managed stores in folders only: pack them into one, and then move it to the bucket")
	}
	return nil
}

// CheckMove returns why the files of one store cannot be moved into another one, or nil.
func CheckMove(from, to *Store) error {
	switch {
	case from.ID == to.ID:
		return errors.New("the slides are in this store already")
	case from.Kind != Directory:
		return errors.New("only slides of folders are moved to a bucket; images of databases are packed")
	case !to.ManagedBucket():
		return errors.New("slides are moved to managed stores in buckets only")
	}
	return nil
}

// Pack moves an image into another store, as f changes it: f sets the fields of its new file,
// at least the path. The image keeps its id, creation time and position in the
// order of arrival. The catalog remembers that its path in the former store was packed, as
// long as the image is in the catalog: see [Images.Packed]. The former store is added to the
// image's former stores.
//
// All other writers wait while f runs, so it must not use the catalog. If f returns an error,
// nothing is changed and the error is returned. The error may be [ErrNotFound] or
// [ErrConflict].
func (ims *Images) Pack(ctx context.Context, id, store string, f func(*Image) error) (*Image, error) {
	return ims.changeOne(ctx, id, func(t *tx, r, was *record) error {
		if err := f(&r.Image); err != nil {
			return err
		}
		r.ID, r.StoreID, r.CreatedAt = was.ID, store, was.CreatedAt
		numbers, err := t.storeNumbers(ctx, []*Image{&r.Image})
		if err != nil {
			return err
		}
		r.store = numbers[store]
		if err := t.addFormer(ctx, r, was.StoreID); err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `INSERT INTO packed (store, path, image, moved_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (store, path) DO UPDATE SET image = excluded.image, moved_at = excluded.moved_at`,
			was.store, []byte(was.Path), was.n, t.now.UnixMicro())
		return wrap(err, "packed")
	})
}

// addFormer adds a store to those that an image was in: its id, and its id in another
// application.
func (t *tx) addFormer(ctx context.Context, r *record, store string) error {
	list, _, err := t.h.stores(ctx, t, ` AND s.id = $1`, store)
	if err != nil {
		return err
	}
	names := []string{store}
	if len(list) > 0 && list[0].ExternalID != "" {
		names = append(names, list[0].ExternalID)
	}
	r.FormerStores = slices.Clone(r.FormerStores)
	for _, name := range names {
		if !slices.Contains(r.FormerStores, name) {
			r.FormerStores = append(r.FormerStores, name)
		}
	}
	return nil
}

// Packed returns the paths of the images that were moved from a store into another one by
// [Images.Pack]. [Images.Put] adds no images at these paths.
func (ims *Images) Packed(ctx context.Context, store string) (map[string]bool, error) {
	return packedOf(ctx, ims.read, store)
}

func packedOf(ctx context.Context, db querier, store string) (map[string]bool, error) {
	rows, err := db.QueryContext(ctx, `SELECT path FROM packed WHERE store = (SELECT n FROM stores WHERE id = $1)`, clean(store))
	if err != nil {
		return nil, wrap(err, "packed")
	}
	defer rows.Close()
	paths := map[string]bool{}
	for rows.Next() {
		var path []byte
		if err := rows.Scan(&path); err != nil {
			return nil, wrap(err, "packed")
		}
		paths[string(path)] = true
	}
	return paths, wrap(rows.Err(), "packed")
}

// A Moved is the former file of an image.
type Moved struct {
	Image string // id
	Path  string // in the former store
}

// movedPage limits the former files that are returned at once.
const movedPage = 1000

// MovedBefore returns images that were moved from a store before a time, and whose former files
// were not removed yet; at most 1000.
func (ims *Images) MovedBefore(ctx context.Context, store string, before time.Time) ([]Moved, error) {
	rows, err := ims.read.QueryContext(ctx, `SELECT i.id, p.path FROM packed p JOIN images i ON i.n = p.image
		WHERE p.store = (SELECT n FROM stores WHERE id = $1) AND p.moved_at > 0 AND p.moved_at <= $2 ORDER BY p.moved_at, p.path LIMIT $3`, clean(store), before.UnixMicro(), movedPage)
	if err != nil {
		return nil, wrap(err, "moved")
	}
	defer rows.Close()
	var list []Moved
	for rows.Next() {
		var m Moved
		var path []byte
		if err := rows.Scan(&m.Image, &path); err != nil {
			return nil, wrap(err, "moved")
		}
		m.Path = string(path)
		list = append(list, m)
	}
	return list, wrap(rows.Err(), "moved")
}

// ForgetMoved records that the former file of an image was removed.
func (ims *Images) ForgetMoved(ctx context.Context, store, path string) error {
	return ims.aside(ctx, func(t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `UPDATE packed SET moved_at = 0 WHERE store = (SELECT n FROM stores WHERE id = $1) AND path = $2`, clean(store), []byte(path))
		return wrap(err, "moved")
	})
}

// isPacked reports whether the image at a path of a store was packed.
func (t *tx) isPacked(ctx context.Context, store int64, path string) (bool, error) {
	var packed bool
	err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM packed WHERE store = $1 AND path = $2)`, store, []byte(path)).Scan(&packed)
	return packed, wrap(err, "packed")
}

// anyPacked returns which of the given stores have packed images.
func (t *tx) anyPacked(ctx context.Context, stores map[string]int64) (map[int64]bool, error) {
	have := map[int64]bool{}
	for _, n := range stores {
		var packed bool
		if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM packed WHERE store = $1)`, n).Scan(&packed); err != nil {
			return nil, wrap(err, "packed")
		}
		have[n] = packed
	}
	return have, nil
}
