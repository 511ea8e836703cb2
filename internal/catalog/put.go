package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Put adds images or changes existing ones. An image with a known id, or otherwise
// with the store and path of a known image, keeps its id, creation time and position in the
// order of arrival. Given its id, an image may get another path.
//
// Values that an inspection of the file cannot determine are kept unless given: aliases,
// label, external id, corrected names of its case and former stores; and while the revision is the same, the digest, the time of
// verification, and a barcode read from the label. An image stays deleted. It stays damaged
// as long as the file has the same size and mtime: its state is then [Broken], whatever is
// given, unless it is [Missing] or [Quarantined]. To remove a value use
// [Images.Update].
//
// A new image is not added if its path is that of one that was packed: see [Images.Pack].
//
// Ids, times, change numbers and kept values are filled in. All is one transaction: the
// error is [ErrNotFound] if a store does not exist, and [ErrConflict] if another image has
// the path.
func (ims *Images) Put(ctx context.Context, images []*Image) error {
	if len(images) == 0 {
		return nil
	}
	var stored []*record
	err := ims.change(ctx, func(t *tx) error {
		var b batch
		var err error
		if b, err = t.merge(ctx, images); err != nil {
			return err
		}
		stored = b.images
		return t.put(ctx, b.records)
	})
	if err != nil {
		return err
	}
	for i, r := range stored {
		*images[i] = r.Image
	}
	return nil
}

// Update calls f with the current image, which may be deleted, stores the image as f
// has changed it, and returns it. If f returns an error, nothing is changed and the error
// is returned. All other writers wait while f runs, so it must not use the catalog. The
// error may be [ErrNotFound] or [ErrConflict].
func (ims *Images) Update(ctx context.Context, id string, f func(*Image) error) (*Image, error) {
	return ims.changeOne(ctx, id, func(_ *tx, r, was *record) error {
		if err := f(&r.Image); err != nil {
			return err
		}
		r.ID, r.StoreID, r.CreatedAt = was.ID, was.StoreID, was.CreatedAt
		return nil
	})
}

// changeOne calls f with the record of an image and a copy of it, stores the record as f has
// changed it, and returns the image.
func (ims *Images) changeOne(ctx context.Context, id string, f func(t *tx, r, was *record) error) (*Image, error) {
	var im Image
	err := ims.change(ctx, func(t *tx) error {
		list, err := ims.records(ctx, t, `i.id = $1`, clean(id))
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("%w: image %s", ErrNotFound, clean(id))
		}
		r := list[0]
		was := *r
		if err := f(t, r, &was); err != nil {
			return err
		}
		if err := t.put(ctx, []*pending{{record: r, was: &was}}); err != nil {
			return err
		}
		im = r.Image
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &im, nil
}

// Delete removes an image from all lists until it is restored. Sync does not restore
// it. The error may be [ErrNotFound].
func (ims *Images) Delete(ctx context.Context, id string) error {
	_, err := ims.Update(ctx, id, func(im *Image) error {
		if im.DeletedAt == nil {
			now := time.Now().UTC()
			im.DeletedAt = &now
		}
		return nil
	})
	return err
}

// Restore restores an image that was deleted, or hidden because it was missing. The
// error may be [ErrNotFound].
func (ims *Images) Restore(ctx context.Context, id string) error {
	_, err := ims.Update(ctx, id, func(im *Image) error {
		im.DeletedAt, im.HiddenAt = nil, nil
		return nil
	})
	return err
}

// HideMissing hides the images of a store that have been missing since before a time, and
// returns their number. They are visible again when their files return.
func (ims *Images) HideMissing(ctx context.Context, store string, before time.Time) (int, error) {
	total := 0
	for {
		n := 0
		err := ims.change(ctx, func(t *tx) error {
			list, err := ims.records(ctx, t, `i.store = (SELECT n FROM stores WHERE id = $1) AND i.shelf = $2 AND i.missing_since < $3 LIMIT $4`,
				store, shelfMissing, before.UnixMicro(), removeChunk)
			if err != nil {
				return err
			}
			n = len(list)
			changes := make([]*pending, n)
			for i, r := range list {
				was := *r
				r.HiddenAt = &t.now
				changes[i] = &pending{record: r, was: &was}
			}
			return t.put(ctx, changes)
		})
		total += n
		if err != nil || n < removeChunk {
			return total, err
		}
	}
}

// Drop removes images from the catalog permanently. Unknown ids are ignored.
func (ims *Images) Drop(ctx context.Context, ids ...string) error {
	for some := range slices.Chunk(ids, removeChunk) {
		err := ims.change(ctx, func(t *tx) error {
			var q statement
			q.add(`i.id IN (''`)
			for _, id := range some {
				q.add(`, `)
				q.arg(clean(id))
			}
			q.add(`)`)
			list, err := ims.records(ctx, t, q.String(), q.args...)
			if err != nil || len(list) == 0 {
				return err
			}
			return t.remove(ctx, list)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes images, and records the removal for followers.
func (t *tx) remove(ctx context.Context, list []*record) error {
	numbers := make([]int64, len(list))
	var gone [][]any
	for i, r := range list {
		numbers[i] = r.n
		t.tally(r.store, r.shelf, r.Identity.Size, -1)
		t.touchCase(r)
		gone = append(gone, []any{r.n, r.ID, t.next()})
	}
	for _, of := range [][2]string{{"packed", "image"}, {"dicom", "image"}, {"descriptions", "n"}, {"images", "n"}} {
		if _, err := t.ExecContext(ctx, `DELETE FROM `+of[0]+` WHERE `+of[1]+` `+fmt.Sprintf(t.h.among, 1), t.h.list(numbers)); err != nil {
			return wrap(err, of[0])
		}
	}
	// Behind the images, whose rows a writer of a structure locks.
	if err := removeStructures(ctx, t.Tx, t.h, numbers); err != nil {
		return err
	}
	return t.upsert(ctx, changesTable, gone)
}

// next returns the next change number.
func (t *tx) next() int64 { t.change++; return t.change }

// A batch is a set of images to write.
type batch struct {
	records []*pending // without duplicates
	images  []*record  // for each of the given images
}

// A pending is a record to write, with its previous version.
type pending struct {
	*record
	was *record // nil if it is new
}

type at struct {
	store int64
	path  string
}

// merge finds the records of images, and merges both.
func (t *tx) merge(ctx context.Context, images []*Image) (batch, error) {
	stores, err := t.storeNumbers(ctx, images)
	if err != nil {
		return batch{}, err
	}
	known, err := t.known(ctx, images, stores)
	if err != nil {
		return batch{}, err
	}
	byID, byPath := map[string]*pending{}, map[at]*pending{}
	for _, r := range known {
		was := *r
		p := &pending{record: r, was: &was}
		byID[r.ID], byPath[at{r.store, r.Path}] = p, p
	}
	packed, err := t.anyPacked(ctx, stores)
	if err != nil {
		return batch{}, err
	}
	var b batch
	written := map[*pending]bool{}
	for _, im := range images {
		place := at{stores[im.StoreID], im.Path}
		p := byID[im.ID]
		if p == nil {
			p = byPath[place]
		}
		if p == nil && packed[place.store] {
			if skip, err := t.isPacked(ctx, place.store, place.path); err != nil {
				return batch{}, err
			} else if skip {
				b.images = append(b.images, &record{Image: *im})
				continue
			}
		}
		if p == nil {
			t.arrival++
			p = &pending{record: &record{Image: Image{ID: im.ID, CreatedAt: im.CreatedAt}, n: t.arrival}}
			if p.ID == "" {
				p.ID = NewID()
			}
			if p.CreatedAt.IsZero() {
				p.CreatedAt = t.now
			}
			byID[p.ID] = p
		} else if old := (at{p.store, p.Path}); old != place && byPath[old] == p {
			delete(byPath, old)
		}
		next := *im
		next.keep(&p.Image)
		p.Image, p.store = next, place.store
		byPath[place] = p
		b.images = append(b.images, p.record)
		if !written[p] {
			written[p] = true
			b.records = append(b.records, p)
		}
	}
	return b, nil
}

// keep copies the values that im leaves open from the old image.
func (im *Image) keep(old *Image) {
	im.ID, im.CreatedAt, im.DeletedAt = old.ID, old.CreatedAt, old.DeletedAt
	if im.Aliases == nil {
		im.Aliases = old.Aliases
	}
	if im.Label == nil {
		im.Label = old.Label
	}
	if im.ExternalID == nil {
		im.ExternalID = old.ExternalID
	}
	if im.FormerStores == nil {
		im.FormerStores = old.FormerStores
	}
	if im.Corrected == (CaseCorrections{}) {
		im.Corrected = old.Corrected
	}
	if im.Names == (CaseNames{}) {
		im.Names = old.Names
	}
	im.keepDamage(old)
	if im.Revision != old.Revision {
		return
	}
	if im.Digest == nil {
		im.Digest = old.Digest
	}
	if im.VerifiedAt == nil {
		im.VerifiedAt = old.VerifiedAt
	}
	if im.Barcode == nil && old.BarcodeSource == "label" {
		im.Barcode, im.BarcodeSource = old.Barcode, old.BarcodeSource
	}
}

// keepDamage copies the damage of the old image, which an inspection cannot detect.
func (im *Image) keepDamage(old *Image) {
	if old.DamagedAt == nil || im.Identity.Size != old.Identity.Size || im.Identity.MTime != old.Identity.MTime {
		return
	}
	im.DamagedAt, im.Damage = old.DamagedAt, old.Damage
	if im.Digest == nil {
		im.Digest = old.Digest
	}
	if im.State != Missing && im.State != Quarantined {
		im.State, im.Reason = Broken, im.Damage
	}
}

// storeNumbers returns the numbers of the images' stores, which must all exist.
func (t *tx) storeNumbers(ctx context.Context, images []*Image) (map[string]int64, error) {
	numbers := map[string]int64{}
	for _, im := range images {
		if _, ok := numbers[im.StoreID]; ok {
			continue
		}
		var n int64
		err := t.QueryRowContext(ctx, `SELECT n FROM stores WHERE id = $1 AND closing = 0`, clean(im.StoreID)).Scan(&n)
		if err != nil {
			return nil, wrap(err, "store "+clean(im.StoreID))
		}
		numbers[im.StoreID] = n
	}
	return numbers, nil
}

// known returns the records with the ids or paths of images.
func (t *tx) known(ctx context.Context, images []*Image, stores map[string]int64) ([]*record, error) {
	var list []*record
	seen := map[int64]bool{}
	for some := range slices.Chunk(images, widest) {
		var q statement
		q.add(`i.id IN (''`) // no image has this id
		for _, im := range some {
			if im.ID != "" {
				q.add(`, `)
				q.arg(clean(im.ID))
			}
		}
		q.add(`)`)
		conditions := []statement{q}
		for _, store := range stores {
			if q := havePath(store, some, stores); len(q.args) > 1 {
				conditions = append(conditions, q)
			}
		}
		for _, q := range conditions {
			found, err := t.h.records(ctx, t, q.String(), q.args...)
			if err != nil {
				return nil, err
			}
			for _, r := range found {
				if !seen[r.n] {
					seen[r.n] = true
					list = append(list, r)
				}
			}
		}
	}
	return list, nil
}

// havePath returns the condition that an image has the path of one of the given images of a
// store.
func havePath(store int64, images []*Image, stores map[string]int64) (q statement) {
	q.add(`i.store = `)
	q.arg(store)
	q.add(` AND i.path IN (`)
	for _, im := range images {
		if stores[im.StoreID] == store {
			if len(q.args) > 1 {
				q.add(`, `)
			}
			q.arg([]byte(im.Path))
		}
	}
	q.add(`)`)
	return q
}

var (
	imagesTable = table{"images", []string{
		"n", "id", "store", "path", "shelf", "file_name", "name", "words", "size", "state", "reason", "revision", "dev", "ino", "mtime", "ctime", "digest", "external_id", "barcode", "accession", "part", "block", "stain",
		"first_seen", "last_change", "verified_at", "missing_since", "hidden_at", "deleted_at", "created_at", "updated_at",
	}}
	descriptionsTable = table{"descriptions", []string{"n", "fields"}}
	dicomTable        = table{"dicom", []string{"image", "study", "series"}}
	changesTable      = table{"changes", []string{"n", "id", "seq"}}
)

// put writes records.
func (t *tx) put(ctx context.Context, list []*pending) error {
	var images, descriptions, dicom, changes [][]any
	for _, p := range list {
		shelf := p.wantedShelf()
		if shelf == 0 {
			return fmt.Errorf("image %s: unknown state %q", p.ID, p.State)
		}
		if p.was != nil {
			t.tally(p.was.store, p.was.shelf, p.was.Identity.Size, -1)
			if err := t.leave(ctx, p); err != nil {
				return err
			}
		}
		if err := t.nameCase(ctx, p); err != nil {
			return err
		}
		p.shelf, p.UpdatedAt, p.Seq = shelf, t.now, t.next()
		t.tally(p.store, shelf, p.Identity.Size, 1)
		fields, err := json.Marshal(&p.Description)
		if err != nil {
			return fmt.Errorf("image %s: %w", p.ID, err)
		}
		images = append(images, p.row())
		descriptions = append(descriptions, []any{p.n, string(fields)})
		changes = append(changes, []any{p.n, p.ID, p.Seq})
		if p.DICOM != nil {
			dicom = append(dicom, []any{p.n, clean(p.DICOM.Study), clean(p.DICOM.Series)})
		} else if p.was != nil && p.was.DICOM != nil {
			if _, err := t.ExecContext(ctx, `DELETE FROM dicom WHERE image = $1`, p.n); err != nil {
				return wrap(err, "dicom")
			}
		}
	}
	if err := t.upsert(ctx, imagesTable, images); err != nil {
		return err
	}
	if err := t.upsert(ctx, descriptionsTable, descriptions); err != nil {
		return err
	}
	if err := t.upsert(ctx, dicomTable, dicom); err != nil {
		return err
	}
	return t.upsert(ctx, changesTable, changes)
}

// leave frees the path of an image whose path changes, so that two images can swap paths.
// No file name contains a zero byte.
func (t *tx) leave(ctx context.Context, p *pending) error {
	if p.Path == p.was.Path && p.store == p.was.store {
		return nil
	}
	_, err := t.ExecContext(ctx, `UPDATE images SET path = $1 WHERE n = $2`, []byte("\x00"+p.ID), p.n)
	return wrap(err, "image "+p.ID)
}

// row returns the record as a row of [imagesTable].
func (r *record) row() []any {
	id := r.Identity
	optional := func(s *string) any {
		if s == nil {
			return nil
		}
		return clean(*s)
	}
	return []any{
		r.n, r.ID, r.store, []byte(r.Path), r.shelf, clean(r.FileName), key(r.FileName), r.words(), id.Size, string(r.State), clean(r.Reason), clean(r.Revision),
		int64(id.Dev), int64(id.Ino), id.MTime, id.CTime, optional(r.Digest), optional(r.ExternalID), r.exactBarcode(), named(r.Names.Accession), named(r.Names.Part), named(r.Names.Block), named(r.Names.Stain), //nolint:gosec // all 64 bits are kept
		r.FirstSeen.UnixMicro(), r.LastChange.UnixMicro(), micros(r.VerifiedAt), micros(r.MissingSince), micros(r.HiddenAt), micros(r.DeletedAt),
		r.CreatedAt.UnixMicro(), r.UpdatedAt.UnixMicro(),
	}
}

// named returns NULL for no name.
func named(s string) any {
	if s == "" {
		return nil
	}
	return clean(s)
}

// exactBarcode returns the barcode by which the image is found exactly: NULL for a longer one than
// an index of PostgreSQL takes.
func (r *record) exactBarcode() any {
	if r.Barcode == nil || len(clean(*r.Barcode)) > maxBarcode {
		return nil
	}
	return clean(*r.Barcode)
}

const maxBarcode = 500 // bytes

// A table is one whose rows are written many at a time. The first column is its key.
type table struct {
	name    string
	columns []string
}

// widest is the number of rows that one statement writes or reads. The remaining rows are
// written by statements of a quarter of that size and so on, so that the database has to
// prepare few different statements.
const widest = 64

// upsert inserts rows, or updates existing ones.
func (t *tx) upsert(ctx context.Context, to table, rows [][]any) error {
	for size := widest; len(rows) > 0; {
		if len(rows) < size {
			size /= 4
			continue
		}
		args := slices.Concat(rows[:size]...)
		if _, err := t.ExecContext(ctx, to.upsert(size, t.h.placeholder), args...); err != nil {
			return wrap(err, to.name)
		}
		rows = rows[size:]
	}
	return nil
}

// upsert returns the statement that writes n rows. It has thousands of arguments, so it
// uses the dialect's own placeholders.
func (to table) upsert(n int, placeholder func(int) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", to.name, strings.Join(to.columns, ", "))
	for i := range n * len(to.columns) {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(to.columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString(placeholder(i + 1))
	}
	fmt.Fprintf(&b, ") ON CONFLICT (%s) DO UPDATE SET ", to.columns[0])
	for i, c := range to.columns[1:] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s = excluded.%s", c, c)
	}
	return b.String()
}

// A statement is SQL under construction, with its arguments.
type statement struct {
	text []byte
	args []any
}

func (q *statement) String() string { return string(q.text) }

func (q *statement) add(format string, a ...any) { q.text = fmt.Appendf(q.text, format, a...) }

// arg appends the placeholder of an argument.
func (q *statement) arg(v any) {
	q.args = append(q.args, v)
	q.add("$%d", len(q.args))
}
