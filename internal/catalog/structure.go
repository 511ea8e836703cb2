package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Structures are the structure records of images: what opening their slides needs of their files.
// They are a cache: each can be made again, and any may be absent. They contain the texts of
// slides, and are removed with their images.
type Structures struct {
	*handle
	puts atomic.Int64
}

// A Structure is the structure record of an image, of one revision. Its parts have no meaning
// here.
type Structure struct {
	Revision string
	Format   int
	Token    []byte // names the object in its store
	Record   []byte
	Levels   [][]byte // tile tables; see [Structures.Level]
}

const (
	maxStructureBytes = 64 << 20 // of one image
	// structuresBytes and structuresKept limit the records of all images: those that were not used
	// for longest are removed.
	structuresBytes = 16 << 30
	structuresKept  = 180 * 24 * time.Hour
	// trimEvery is after how many records that a process has written it removes others.
	trimEvery = 256
)

// Put stores the structure of an image, in place of the former one. The error is [ErrNotFound] if the image
// does not exist or has another revision, and [ErrInvalid] if the structure is too large.
func (ss *Structures) Put(ctx context.Context, image string, s *Structure) error {
	total := len(s.Token) + len(s.Record)
	for _, b := range s.Levels {
		total += len(b)
	}
	if total > maxStructureBytes {
		return fmt.Errorf("%w: the structure of the image has %d bytes", ErrInvalid, total)
	}
	err := ss.aside(ctx, func(t *sql.Tx) error {
		var n int64
		err := t.QueryRowContext(ctx, `SELECT n FROM images WHERE id = $1 AND revision = $2`+ss.hold, clean(image), s.Revision).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: image %s of revision %s", ErrNotFound, image, s.Revision)
		}
		if err != nil {
			return wrap(err, "structures")
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM structure_levels WHERE image = $1`, n); err != nil {
			return wrap(err, "structures")
		}
		_, err = t.ExecContext(ctx, `INSERT INTO structures (image, revision, format, bytes, used_at, token, record) VALUES ($1, $2, $3, $4, `+ss.now+`, $5, $6)
			ON CONFLICT (image) DO UPDATE SET revision = excluded.revision, format = excluded.format, bytes = excluded.bytes, used_at = excluded.used_at,
				token = excluded.token, record = excluded.record`, n, s.Revision, s.Format, total, notNil(s.Token), notNil(s.Record))
		for level, b := range s.Levels {
			if err != nil {
				break
			}
			_, err = t.ExecContext(ctx, `INSERT INTO structure_levels (image, level, places) VALUES ($1, $2, $3)`, n, level, notNil(b))
		}
		return wrap(err, "structures")
	})
	if err == nil && ss.puts.Add(1)%trimEvery == 0 {
		err = ss.Trim(ctx, structuresBytes, structuresKept)
	}
	return err
}

// notNil returns b, which the databases do not take for NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Get returns the structure of an image without its levels. The error is [ErrNotFound] unless there is one of that
// revision and format.
func (ss *Structures) Get(ctx context.Context, image, revision string, format int) (*Structure, error) {
	s := Structure{Revision: revision, Format: format}
	var n, idle int64
	err := ss.read.QueryRowContext(ctx, `SELECT r.image, r.token, r.record, `+ss.now+` - r.used_at FROM structures r JOIN images i ON i.n = r.image
		WHERE i.id = $1 AND r.revision = $2 AND r.format = $3`, clean(image), revision, format).Scan(&n, &s.Token, &s.Record, &idle)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: structure of image %s", ErrNotFound, image)
	}
	if err != nil {
		return nil, wrap(err, "structures")
	}
	if idle > (24 * time.Hour).Microseconds() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		// Only the order of removal depends on it.
		_ = ss.aside(ctx, func(t *sql.Tx) error {
			_, err := t.ExecContext(ctx, `UPDATE structures SET used_at = `+ss.now+` WHERE image = $1`, n)
			return err
		})
	}
	return &s, nil
}

// Level returns the tile table of a level of an image, or nil if it has no table of that revision and format.
func (ss *Structures) Level(ctx context.Context, image, revision string, format, level int) ([]byte, error) {
	var b []byte
	err := ss.read.QueryRowContext(ctx, `SELECT l.places FROM structures r JOIN images i ON i.n = r.image JOIN structure_levels l ON l.image = r.image
		WHERE i.id = $1 AND r.revision = $2 AND r.format = $3 AND l.level = $4`, clean(image), revision, format, level).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return b, wrap(err, "structures")
}

// Remove removes the structure of an image, which cannot be used. An image without one is ignored.
func (ss *Structures) Remove(ctx context.Context, image string) error {
	return ss.aside(ctx, func(t *sql.Tx) error {
		for _, q := range []string{`DELETE FROM structure_levels WHERE image IN (SELECT n FROM images WHERE id = $1)`, `DELETE FROM structures WHERE image IN (SELECT n FROM images WHERE id = $1)`} {
			if _, err := t.ExecContext(ctx, q, clean(image)); err != nil {
				return wrap(err, "structures")
			}
		}
		return nil
	})
}

// Trim removes the structures of images that do not exist, and those that were not used for longest, until the rest has at
// most so many bytes and was used within that time.
func (ss *Structures) Trim(ctx context.Context, maxBytes int64, unused time.Duration) error {
	numbers, err := ss.surplus(ctx, maxBytes, unused)
	if err != nil {
		return err
	}
	for len(numbers) > 0 {
		some := numbers[:min(len(numbers), chunk)]
		numbers = numbers[len(some):]
		err := ss.aside(ctx, func(t *sql.Tx) error { return removeStructures(ctx, t, ss.handle, some) })
		if err != nil {
			return err
		}
	}
	return nil
}

// removeStructures removes the structures of images.
func removeStructures(ctx context.Context, t *sql.Tx, h *handle, numbers []int64) error {
	for _, table := range []string{"structure_levels", "structures"} {
		if _, err := t.ExecContext(ctx, `DELETE FROM `+table+` WHERE image `+fmt.Sprintf(h.among, 1), h.list(numbers)); err != nil {
			return wrap(err, "structures")
		}
	}
	return nil
}

// surplus returns the images whose structures are to be removed.
func (ss *Structures) surplus(ctx context.Context, maxBytes int64, unused time.Duration) ([]int64, error) {
	rows, err := ss.read.QueryContext(ctx, `SELECT r.image, r.bytes, i.n IS NULL OR r.used_at < `+ss.now+` - $1 FROM structures r LEFT JOIN images i ON i.n = r.image
		ORDER BY r.used_at DESC, r.image DESC`, unused.Microseconds())
	if err != nil {
		return nil, wrap(err, "structures")
	}
	defer rows.Close()
	var numbers []int64
	var total int64
	for rows.Next() {
		var n, bytes int64
		var gone bool
		if err := rows.Scan(&n, &bytes, &gone); err != nil {
			return nil, wrap(err, "structures")
		}
		if total += bytes; gone || total > maxBytes {
			numbers = append(numbers, n)
			total -= bytes
		}
	}
	return numbers, wrap(rows.Err(), "structures")
}
