package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Verification records the digests of files, and whether their bytes still match.
type Verification struct{ *handle }

// EachDue calls f with the available images of a store that were not verified since
// a time: first those without a digest, in the order of arrival, then the others, those
// never verified first and then from the one verified longest ago. It reads them in chunks,
// so f may be slow and use the catalog. It calls f once for each image, whether or not f
// verifies it, and stops at the first error of f.
func (v *Verification) EachDue(ctx context.Context, store string, since time.Time, f func(*Entry) error) error {
	for _, next := range []func(after dueEntry) ([]dueEntry, error){
		func(after dueEntry) ([]dueEntry, error) { return v.unhashed(ctx, store, after, chunk) },
		func(after dueEntry) ([]dueEntry, error) { return v.unverified(ctx, store, after, since, chunk) },
	} {
		for after := (dueEntry{}); ; {
			list, err := next(after)
			if err != nil {
				return err
			}
			for i := range list {
				if err := f(&list[i].Entry); err != nil {
					return err
				}
			}
			if len(list) < chunk {
				break
			}
			after = list[len(list)-1]
		}
	}
	return nil
}

// A dueEntry is an image to hash, with its position in the order.
type dueEntry struct {
	Entry
	n        int64 // 0: before all others
	verified sql.Null[int64]
}

func (v *Verification) unhashed(ctx context.Context, store string, after dueEntry, limit int) ([]dueEntry, error) {
	return v.dueEntries(ctx, "images_unhashed", `i.digest IS NULL AND i.n > $2 ORDER BY i.n LIMIT $3`, store, after.n, limit)
}

// unverified reads the images that were never verified, and then the others: a single
// comparison does not find both.
func (v *Verification) unverified(ctx context.Context, store string, after dueEntry, before time.Time, limit int) ([]dueEntry, error) {
	var list []dueEntry
	if !after.verified.Valid {
		never, err := v.dueEntries(ctx, "images_verified",
			`i.digest IS NOT NULL AND i.verified_at IS NULL AND i.n > $2 ORDER BY i.verified_at NULLS FIRST, i.n LIMIT $3`, store, after.n, limit)
		if err != nil || len(never) == limit {
			return never, err
		}
		list, after = never, dueEntry{}
	}
	rest, err := v.dueEntries(ctx, "images_verified",
		`i.digest IS NOT NULL AND (i.verified_at, i.n) > ($2, $3) AND i.verified_at < $4 ORDER BY i.verified_at NULLS FIRST, i.n LIMIT $5`,
		store, after.verified.V, after.n, before.UnixMicro(), limit-len(list))
	return append(list, rest...), err
}

// dueEntries returns the available images of a store that satisfy a condition, which begins
// with that of the index and is in its order.
func (v *Verification) dueEntries(ctx context.Context, index, where, store string, args ...any) ([]dueEntry, error) {
	rows, err := v.read.QueryContext(ctx, `SELECT i.n, i.verified_at, `+entryColumns+` FROM images i`+fmt.Sprintf(v.by, index)+` JOIN stores s ON s.n = i.store
		WHERE i.store = (SELECT n FROM stores WHERE id = $1 AND closing = 0) AND i.shelf = 6 AND `+where, append([]any{clean(store)}, args...)...)
	if err != nil {
		return nil, wrap(err, "images")
	}
	defer rows.Close()
	var list []dueEntry
	for rows.Next() {
		var d dueEntry
		if _, err := scanEntry(rows, &d.Entry, &d.n, &d.verified); err != nil {
			return nil, wrap(err, "images")
		}
		list = append(list, d)
	}
	return list, wrap(rows.Err(), "images")
}

// SetDigest records the digest of an image's file, SHA-256 in hexadecimal, as verified now.
// Digest must have been computed from the given revision.
//
// The error is [ErrOldRevision] if the image has another revision by now, [ErrConflict] if
// it has another digest, and [ErrNotFound] if it was removed or deleted.
func (v *Verification) SetDigest(ctx context.Context, id, revision, digest string) error {
	return v.atRevision(ctx, id, revision, func(im *Image, now time.Time) (bool, error) {
		if im.Digest != nil && *im.Digest != digest {
			return false, fmt.Errorf("%w: image %s has another digest: it is to be verified", ErrConflict, im.ID)
		}
		im.Digest, im.VerifiedAt = &digest, &now
		return true, nil
	})
}

// Passed records that the bytes of an image's file match its digest. A damaged image
// becomes available again; otherwise the image counts as unchanged.
//
// The error is [ErrOldRevision] if the image has another revision by now, and [ErrNotFound]
// if it was removed or deleted.
func (v *Verification) Passed(ctx context.Context, id, revision string, at time.Time) error {
	return v.atRevision(ctx, id, revision, func(im *Image, _ time.Time) (bool, error) {
		healed := im.DamagedAt != nil
		if healed && im.State == Broken {
			im.State, im.Reason = Available, ""
		}
		im.VerifiedAt, im.DamagedAt, im.Damage = &at, nil, ""
		return healed, nil
	})
}

// Failed records that the bytes of an image's file do not match its digest, although it
// was not written to, with a reason for people to read. The image is [Broken] until they
// match again, or the file has another size or mtime: an inspection of the file does not
// change that.
//
// The error is [ErrOldRevision] if the image has another revision by now, and [ErrNotFound]
// if it was removed or deleted.
func (v *Verification) Failed(ctx context.Context, id, revision, reason string, at time.Time) error {
	return v.atRevision(ctx, id, revision, func(im *Image, _ time.Time) (bool, error) {
		im.DamagedAt, im.Damage = &at, clean(reason)
		if im.State != Missing && im.State != Quarantined {
			im.State, im.Reason = Broken, im.Damage
		}
		return true, nil
	})
}

// atRevision changes an image with f if it still has the given revision. If f returns
// false, followers are not notified, and only the time of verification is written.
func (v *Verification) atRevision(ctx context.Context, id, revision string, f func(im *Image, now time.Time) (bool, error)) error {
	return v.change(ctx, func(t *tx) error {
		list, err := v.records(ctx, t, `i.id = $1 AND i.deleted_at IS NULL`, clean(id))
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("%w: image %s", ErrNotFound, clean(id))
		}
		r := list[0]
		if r.Revision != revision {
			return fmt.Errorf("%w: image %s", ErrOldRevision, r.ID)
		}
		was := *r
		tell, err := f(&r.Image, t.now)
		if err != nil {
			return err
		}
		if tell {
			return t.put(ctx, []*pending{{record: r, was: &was}})
		}
		_, err = t.ExecContext(ctx, `UPDATE images SET verified_at = $1 WHERE n = $2`, micros(r.VerifiedAt), r.n)
		return wrap(err, "image "+r.ID)
	})
}

// Damaged returns the number of images by store whose bytes do not match their
// digests. Stores without any are omitted.
func (v *Verification) Damaged(ctx context.Context) (map[string]int, error) {
	// A quote within a value is preceded by a backslash, so this can only be the field's
	// name.
	rows, err := v.read.QueryContext(ctx, `SELECT s.id, count(*) FROM stores s JOIN images i ON i.store = s.n JOIN descriptions d ON d.n = i.n
		WHERE s.closing = 0 AND i.shelf = $1 AND d.fields LIKE '%"DamagedAt":%' GROUP BY s.id`, shelfOf(Broken))
	if err != nil {
		return nil, wrap(err, "damaged images")
	}
	defer rows.Close()
	damaged := map[string]int{}
	for rows.Next() {
		var store string
		var n int
		if err := rows.Scan(&store, &n); err != nil {
			return nil, wrap(err, "damaged images")
		}
		damaged[store] = n
	}
	return damaged, wrap(rows.Err(), "damaged images")
}
