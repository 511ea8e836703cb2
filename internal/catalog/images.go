package catalog

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/blob"
)

const imageColumns = `id, store_id, path, state, seq, revision, dev, ino, size, mtime, ctime, fields, created_at, updated_at`

// PutImages adds images, or changes those that are there: one of the same store
// and path keeps its id and creation time. Ids, times and numbers of change are
// filled in. It is one transaction.
func (c *Catalog) PutImages(ctx context.Context, images []*Image) error {
	if len(images) == 0 {
		return nil
	}
	return c.tx(ctx, func(t *sql.Tx) error {
		seq, err := number(ctx, t, len(images))
		if err != nil {
			return err
		}
		put, err := t.PrepareContext(ctx, `INSERT INTO images (id, store_id, path, name, words, state, size, seq, revision, dev, ino, mtime, ctime, fields, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT (store_id, path) DO UPDATE SET name = excluded.name, words = excluded.words, state = excluded.state, size = excluded.size,
				seq = excluded.seq, revision = excluded.revision, dev = excluded.dev, ino = excluded.ino, mtime = excluded.mtime, ctime = excluded.ctime,
				fields = excluded.fields, updated_at = excluded.updated_at
			RETURNING id, created_at`)
		if err != nil {
			return wrap(err, "images")
		}
		defer put.Close()
		for i, im := range images {
			im.Seq = seq + int64(i)
			if err := putImage(ctx, put, im); err != nil {
				return err
			}
		}
		return nil
	})
}

func putImage(ctx context.Context, put *sql.Stmt, im *Image) error {
	now := time.Now().UTC()
	if im.ID == "" {
		im.ID = NewID()
	}
	if im.CreatedAt.IsZero() {
		im.CreatedAt = now
	}
	im.UpdatedAt = now
	fields, err := json.Marshal(&im.Description)
	if err != nil {
		return wrap(err, "image "+im.ID)
	}
	var created int64
	err = put.QueryRowContext(ctx, im.ID, im.StoreID, []byte(im.Path), strings.ToLower(im.FileName), words(im), string(im.State), im.Identity.Size, im.Seq,
		im.Revision, int64(im.Identity.Dev), int64(im.Identity.Ino), im.Identity.MTime, im.Identity.CTime, string(fields), micros(im.CreatedAt), micros(im.UpdatedAt)).
		Scan(&im.ID, &created)
	im.CreatedAt = fromMicros(created)
	return wrap(err, "image "+im.ID)
}

// words is what a search for an image looks through.
func words(im *Image) string {
	w := []string{im.FileName}
	for _, p := range []*string{im.Label, im.Barcode} {
		if p != nil {
			w = append(w, *p)
		}
	}
	return strings.ToLower(strings.Join(w, "\n"))
}

// Image returns an image, or [ErrNotFound].
func (c *Catalog) Image(ctx context.Context, id string) (*Image, error) {
	return scanImage(c.read.QueryRowContext(ctx, `SELECT `+imageColumns+` FROM images WHERE id = $1 AND hidden = 0`, id))
}

// ImageByPath returns the image of a file of a store, or [ErrNotFound].
func (c *Catalog) ImageByPath(ctx context.Context, store, path string) (*Image, error) {
	return scanImage(c.read.QueryRowContext(ctx, `SELECT `+imageColumns+` FROM images WHERE store_id = $1 AND path = $2`, store, []byte(path)))
}

// EachImage calls f with every image of a store, hidden ones too, in no order. The
// image is f's until it returns.
func (c *Catalog) EachImage(ctx context.Context, store string, f func(*Image) error) error {
	rows, err := c.read.QueryContext(ctx, `SELECT `+imageColumns+` FROM images WHERE store_id = $1`, store)
	if err != nil {
		return wrap(err, "images")
	}
	defer rows.Close()
	for rows.Next() {
		im, err := scanImage(rows)
		if err != nil {
			return err
		}
		if err := f(im); err != nil {
			return err
		}
	}
	return wrap(rows.Err(), "images")
}

func scanImage(row interface{ Scan(...any) error }) (*Image, error) {
	var im Image
	var path, fields []byte
	var dev, ino, created, updated int64
	err := row.Scan(&im.ID, &im.StoreID, &path, &im.State, &im.Seq, &im.Revision, &dev, &ino, &im.Identity.Size, &im.Identity.MTime, &im.Identity.CTime, &fields, &created, &updated)
	if err != nil {
		return nil, wrap(err, "image")
	}
	im.Path = string(path)
	im.Identity.Dev, im.Identity.Ino = uint64(dev), uint64(ino)
	im.CreatedAt, im.UpdatedAt = fromMicros(created), fromMicros(updated)
	return &im, wrap(json.Unmarshal(fields, &im.Description), "image "+im.ID)
}

// A Change is the state of an image after its last change.
type Change struct {
	ID, StoreID    string
	Seq            int64
	Gone           bool // no longer in the catalog, or hidden
	State          State
	Path, FileName string
	Revision       string
	Identity       blob.Identity
}

// Changes returns the images that changed after the one numbered since, in order
// of their numbers and at most limit, each as it is now.
func (c *Catalog) Changes(ctx context.Context, since int64, limit int) ([]Change, error) {
	rows, err := c.read.QueryContext(ctx, `SELECT id, store_id, seq, hidden, state, path, json_extract(fields, '$.FileName'), revision, dev, ino, size, mtime, ctime FROM images WHERE seq > $1
		UNION ALL SELECT id, '', seq, 1, '', '', '', '', 0, 0, 0, 0, 0 FROM gone WHERE seq > $1
		ORDER BY 3 LIMIT $2`, since, limit)
	if err != nil {
		return nil, wrap(err, "changes")
	}
	defer rows.Close()
	var list []Change
	for rows.Next() {
		var ch Change
		var path []byte
		var dev, ino int64
		if err := rows.Scan(&ch.ID, &ch.StoreID, &ch.Seq, &ch.Gone, &ch.State, &path, &ch.FileName, &ch.Revision, &dev, &ino, &ch.Identity.Size, &ch.Identity.MTime, &ch.Identity.CTime); err != nil {
			return nil, wrap(err, "changes")
		}
		ch.Path, ch.Identity.Dev, ch.Identity.Ino = string(path), uint64(dev), uint64(ino)
		list = append(list, ch)
	}
	return list, wrap(rows.Err(), "changes")
}

// A Sort is an order of images.
type Sort string

const (
	SortCreated Sort = "created" // newest first
	SortName    Sort = "name"
	SortSize    Sort = "size"
	SortState   Sort = "state"
)

// A Query says which images are wanted. The zero value is all of them, newest
// first.
type Query struct {
	Store  string // id
	Q      string // part of file name, label or barcode: anywhere from 3 characters on, below at the beginning of the file name
	State  State
	Sort   Sort
	Cursor string
	Limit  int  // 50 if 0
	Labels bool // the caller may see file names, labels and barcodes; without it Q and the order by name are of no effect
}

// A Page is a part of a list.
type Page struct {
	Items      []Image
	NextCursor string // "" at the end
}

// Images returns the page of images that follows the query's cursor. An image
// that is there all the time is on exactly one page, whatever comes and goes.
func (c *Catalog) Images(ctx context.Context, q Query) (*Page, error) {
	if q.Limit == 0 {
		q.Limit = 50
	}
	if q.Sort == "" || q.Sort == SortName && !q.Labels {
		q.Sort = SortCreated
	}
	where, args, err := q.where()
	if err != nil {
		return nil, err
	}
	key, dir := q.order()
	args = append(args, q.Limit+1)
	rows, err := c.read.QueryContext(ctx, fmt.Sprintf(`SELECT %s, %s FROM images WHERE %s ORDER BY %s %s, id %s LIMIT $%d`,
		imageColumns, key, strings.Join(where, " AND "), key, dir, dir, len(args)), args...)
	if err != nil {
		return nil, wrap(err, "images")
	}
	defer rows.Close()
	page := &Page{}
	var last any
	for rows.Next() {
		if len(page.Items) == q.Limit {
			page.NextCursor = cursor(q.Sort, last, page.Items[q.Limit-1].ID)
			break
		}
		im, err := scanImage(withKey{rows, &last})
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, *im)
	}
	return page, wrap(rows.Err(), "images")
}

// withKey scans the sort key behind the image.
type withKey struct {
	rows *sql.Rows
	key  *any
}

func (w withKey) Scan(to ...any) error { return w.rows.Scan(append(to, w.key)...) }

func (q *Query) order() (key, dir string) {
	switch q.Sort {
	case SortName:
		return "name", "ASC"
	case SortSize:
		return "size", "ASC"
	case SortState:
		return "state", "ASC"
	}
	return "created_at", "DESC"
}

// where returns the conditions of the query and their arguments.
func (q *Query) where() (where []string, args []any, err error) {
	add := func(cond string, vals ...any) {
		for _, v := range vals {
			args = append(args, v)
			cond = strings.Replace(cond, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, cond)
	}
	add("hidden = 0")
	if q.Store != "" {
		add("store_id = ?", q.Store)
	}
	if q.State != "" {
		add("state = ?", string(q.State))
	}
	if text := strings.ToLower(strings.TrimSpace(q.Q)); text != "" && q.Labels {
		if len([]rune(text)) < 3 {
			add(`(words LIKE ? ESCAPE '\' OR words LIKE ? ESCAPE '\')`, escape(text)+"%", "%\n"+escape(text)+"%")
		} else {
			add("n IN (SELECT rowid FROM search WHERE search MATCH ?)", `"`+strings.ReplaceAll(text, `"`, `""`)+`"`)
		}
	}
	if q.Cursor != "" {
		val, id, err := q.parseCursor()
		if err != nil {
			return nil, nil, err
		}
		key, dir := q.order()
		op := ">"
		if dir == "DESC" {
			op = "<"
		}
		add("("+key+", id) "+op+" (?, ?)", val, id)
	}
	return where, args, nil
}

var escaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func escape(s string) string { return escaper.Replace(s) }

type cursorFields struct {
	Sort Sort            `json:"s"`
	Key  json.RawMessage `json:"k"`
	ID   string          `json:"i"`
}

func cursor(s Sort, key any, id string) string {
	if b, ok := key.([]byte); ok {
		key = string(b)
	}
	k, _ := json.Marshal(key) // a number or a string
	b, _ := json.Marshal(cursorFields{s, k, id})
	return base64.RawURLEncoding.EncodeToString(b)
}

func (q *Query) parseCursor() (key any, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	var c cursorFields
	if err != nil || json.Unmarshal(b, &c) != nil || c.Sort != q.Sort {
		return nil, "", ErrBadCursor
	}
	var n int64
	var s string
	if q.Sort == SortCreated || q.Sort == SortSize {
		err = json.Unmarshal(c.Key, &n)
		key = n
	} else {
		err = json.Unmarshal(c.Key, &s)
		key = s
	}
	if err != nil {
		return nil, "", ErrBadCursor
	}
	return key, c.ID, nil
}
