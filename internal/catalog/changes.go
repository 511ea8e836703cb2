package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// An Entry is the part of an image that is needed to follow or compare many images.
type Entry struct {
	ID, StoreID    string
	State          State
	Gone           bool // deleted by a user, or removed from the catalog
	Path, FileName string
	Revision       string
	Identity       fsx.Identity
	Digest         string // "" if unknown
	FirstSeen      time.Time
	LastChange     time.Time
	MissingSince   *time.Time
	HiddenAt       *time.Time
}

// A Change is an image after its last change. Of an image that was removed from the
// catalog, only the id and the number are set, and Gone.
type Change struct {
	Entry
	ExternalID string // of the image in another application; "" if it has none
	// JPEG2000 reports an unsupported image that is a slide of JPEG 2000, which the build
	// that inspected it does not read.
	JPEG2000     bool
	FormerStores []string // ids and external ids of the stores that it was in before
	Seq          int64
}

// NotJPEG2000 is a part of the reason why a slide of JPEG 2000 is unsupported. Versions that
// never read it wrote it as well.
const NotJPEG2000 = "(JPEG 2000)"

const entryColumns = `i.id, s.id, i.state, i.deleted_at, i.path, i.file_name, i.revision, i.dev, i.ino, i.size, i.mtime, i.ctime,
	i.digest, i.first_seen, i.last_change, i.missing_since, i.hidden_at`

// Changes tell what happened to the images since a time.
type Changes struct{ *handle }

// Since returns the images that changed after change number since, ordered by number, at
// most limit, each in its current state. It skips none: a change that becomes visible later
// has a higher number.
func (cs *Changes) Since(ctx context.Context, since int64, limit int) ([]Change, error) {
	rows, err := cs.read.QueryContext(ctx, `SELECT c.seq, c.id, i.external_id, CASE WHEN `+cs.position+`(d.fields, '"FormerStores"') > 0 THEN `+cs.former+` END,
		CASE WHEN i.state = '`+string(Unsupported)+`' AND `+cs.position+`(i.reason, '`+NotJPEG2000+`') > 0 THEN 1 ELSE 0 END, `+entryColumns+`
		FROM (SELECT n, id, seq FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2) c
		LEFT JOIN images i ON i.n = c.n LEFT JOIN stores s ON s.n = i.store LEFT JOIN descriptions d ON d.n = i.n ORDER BY c.seq`, since, limit)
	if err != nil {
		return nil, wrap(err, "changes")
	}
	defer rows.Close()
	var list []Change
	for rows.Next() {
		var ch Change
		var id string
		var external sql.NullString
		var former []byte
		var unread int64
		there, err := scanEntry(rows, &ch.Entry, &ch.Seq, &id, &external, &former, &unread)
		if err != nil {
			return nil, wrap(err, "changes")
		}
		if !there {
			ch.Entry = Entry{ID: id, Gone: true}
		}
		ch.ExternalID, ch.JPEG2000 = external.String, unread != 0
		if len(former) > 0 {
			if err := json.Unmarshal(former, &ch.FormerStores); err != nil {
				return nil, fmt.Errorf("former stores of image %s: %w", id, err)
			}
		}
		list = append(list, ch)
	}
	return list, wrap(rows.Err(), "changes")
}

// chunk is the number of images to read at once.
const chunk = 2000

// Each calls f for every image of a store, ordered by path, including deleted and
// hidden ones. It reads them in chunks, so f may be slow and use the catalog; images that
// are added or moved meanwhile may be included or not. It stops at the first error of f.
// The error may be [ErrNotFound].
func (ims *Images) Each(ctx context.Context, store string, f func(*Image) error) error {
	var n int64
	if err := ims.read.QueryRowContext(ctx, `SELECT n FROM stores WHERE id = $1`, clean(store)).Scan(&n); err != nil {
		return wrap(err, "store "+clean(store))
	}
	for after := []byte{}; ; {
		list, err := ims.records(ctx, ims.read, `i.store = $1 AND i.path > $2 ORDER BY i.path LIMIT $3`, n, after, chunk)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := f(&r.Image); err != nil {
				return err
			}
		}
		if len(list) < chunk {
			return nil
		}
		after = []byte(list[len(list)-1].Path)
	}
}

// scanEntry scans entryColumns and the columns before them. It reports whether the row has
// an image.
func scanEntry(rows *sql.Rows, e *Entry, before ...any) (bool, error) {
	var id, store, state, name, revision, digest sql.Null[string]
	var path []byte
	var deleted, dev, ino, size, mtime, ctime, first, last, missing, hidden sql.Null[int64]
	err := rows.Scan(append(before, &id, &store, &state, &deleted, &path, &name, &revision, &dev, &ino, &size, &mtime, &ctime,
		&digest, &first, &last, &missing, &hidden)...)
	if err != nil || !id.Valid {
		return false, err
	}
	*e = Entry{
		ID: id.V, StoreID: store.V, State: State(state.V), Gone: deleted.Valid, Path: string(path), FileName: name.V, Revision: revision.V,
		Identity: fsx.Identity{Dev: uint64(dev.V), Ino: uint64(ino.V), Size: size.V, MTime: mtime.V, CTime: ctime.V}, //nolint:gosec // all 64 bits are stored
		Digest:   digest.V, FirstSeen: fromMicros(first.V), LastChange: fromMicros(last.V), MissingSince: when(missing), HiddenAt: when(hidden),
	}
	return true, nil
}

// Watch returns a channel that receives a message after each change of an image or a store
// by any process: one message for any number of changes, and occasionally one without a
// change. Changes by this process are announced immediately, those by others within a
// second, and those missed during an outage of the database after it. It ends with ctx.
func (cs *Changes) Watch(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	cs.mu.Lock()
	cs.watchers[ch] = struct{}{}
	cs.mu.Unlock()
	context.AfterFunc(ctx, func() {
		cs.mu.Lock()
		delete(cs.watchers, ch)
		cs.mu.Unlock()
	})
	cs.follow.Do(func() {
		cs.follower.Go(func() {
			var loops *loop.Set // not shown: it fails only by a panic
			loops.Run(cs.life, nil, "catalog changes", func(ctx context.Context) error { cs.listen(ctx, cs.handle); return nil })
		})
	})
	return ch
}

// wake notifies the watchers of a change.
func (h *handle) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.watchers {
		select {
		case ch <- struct{}{}:
		default: // it has a pending notification
		}
	}
}
