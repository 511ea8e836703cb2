package account

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Audit is the audit log, which can only grow.
type Audit struct{ *handle }

// An Event is an entry of the audit log: who did what, and whether it was allowed. It
// contains ids, but no patient data and no secrets.
type Event struct {
	N       int64     `json:"n"` // sequence number
	At      time.Time `json:"at"`
	User    string    `json:"user"` // id; empty if not logged in
	Act     string    `json:"act"`  // such as label.show, login, grant.add
	Object  string    `json:"object"`
	From    string    `json:"from"` // address
	Allowed bool      `json:"allowed"`
	Detail  string    `json:"detail,omitempty"`
	// Images are the ids of the images of which one entry shows labels or names, such as
	// those of a list. [Audit.List] returns them only if the filter requests them.
	Images []string `json:"images,omitempty"`
	// Count is the number of these images, as read from the table.
	Count int `json:"-"`
}

// Record adds an event to the audit log. A zero At is set to now; N is assigned.
//
// Events are immutable: the database refuses to change or delete them.
func (a *Audit) Record(ctx context.Context, e Event) error {
	if len(e.Images) > 0 {
		_, err := a.RecordImages(ctx, e)
		return err
	}
	if err := a.db.Retry(ctx, func() error { return a.insertEvent(ctx, a.write, &e) }); err != nil {
		return err
	}
	return a.writeEvent(&e)
}

// RecordImages is [Audit.Record] for an event with images, and returns its number. If
// N is not 0, the images are added to that entry instead, which must not have them yet.
func (a *Audit) RecordImages(ctx context.Context, e Event) (int64, error) {
	entry := e.N
	err := a.change(ctx, func(t *tx) error {
		e.N, e.At = entry, t.now
		if entry == 0 {
			if err := a.insertEvent(ctx, t, &e); err != nil {
				return err
			}
		}
		return t.insertImages(ctx, &e)
	})
	if err != nil {
		return 0, err
	}
	return e.N, a.writeEvent(&e)
}

// imagesAtOnce is the number of images that one statement inserts; databases limit the
// arguments of a statement.
const imagesAtOnce = 500

func (t *tx) insertImages(ctx context.Context, e *Event) error {
	for some := range slices.Chunk(e.Images, imagesAtOnce) {
		var b strings.Builder
		args := []any{e.N, e.At.UnixMicro()}
		for i, id := range some {
			if i > 0 {
				b.WriteByte(',')
			}
			args = append(args, printable(id, 64))
			fmt.Fprintf(&b, "($%d, $1, $2)", len(args))
		}
		if _, err := t.exec(ctx, "audit log", `INSERT INTO audit_images (image, n, at) VALUES `+b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

// insertEvent adds an event to the table. It sets fields as [Audit.Record] does.
func (h *handle) insertEvent(ctx context.Context, q querier, e *Event) error {
	if e.At.IsZero() {
		e.At = h.now()
	}
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.User, e.Act, e.Object = printable(e.User, 64), printable(e.Act, 64), printable(e.Object, 200)
	e.From, e.Detail = printable(e.From, 64), printable(e.Detail, 500)
	err := q.QueryRowContext(ctx, `INSERT INTO audit (at, user_id, act, object, address, allowed, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING n`,
		e.At.UnixMicro(), e.User, e.Act, e.Object, e.From, e.Allowed, e.Detail).Scan(&e.N)
	return wrap(err, "audit log")
}

// writeEvent appends an event that is in the table to AuditLog, if there is one.
func (h *handle) writeEvent(e *Event) error {
	if h.o.AuditLog == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot write the audit log: %w", err)
	}
	h.auditMu.Lock()
	defer h.auditMu.Unlock()
	if _, err := h.o.AuditLog.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("the event is in the audit log's table, but cannot be written to its file: %w", err)
	}
	return nil
}

// An EventFilter selects events; empty fields match all.
type EventFilter struct {
	User, Act    string
	Object       string    // one of the ids it is about
	Allowed      *bool     // whether it was allowed
	Since, Until time.Time // from (inclusive), to (exclusive)
	Limit        int       // 1 to 1000; 100 if 0
	Images       bool      // also return the ids of the images
}

// twofold are the acts about two objects, whose Object is two ids.
const twofold = `'group.join', 'group.leave'`

// where returns the filter's condition for the page after a place, and its arguments.
func (f *EventFilter) where(after place) (string, []any) {
	var b strings.Builder
	var args []any
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(condition)
	}
	last := after.at // a single bound, so that the index range is small
	if !f.Until.IsZero() {
		last = min(last, f.Until.UnixMicro()-1)
	}
	and("at <= ? AND (at < ? OR n < ?)", last, after.at, after.n)
	// Only the most selective column uses its index, because databases can't estimate
	// which one that is. The others are compared as expressions, for which no index is
	// used.
	if f.User != "" {
		and(column("user_id", f.Object == "")+" = ?", f.User)
	}
	if f.Act != "" {
		and(column("act", f.Object == "" && f.User == "")+" = ?", f.Act)
	}
	if f.Object != "" {
		// Ids contain neither spaces nor LIKE wildcards.
		and("(object = ? OR act IN ("+twofold+") AND ' ' || object || ' ' LIKE ? OR n IN (SELECT n FROM audit_images WHERE image = ?))",
			f.Object, "% "+literal.Replace(f.Object)+" %", f.Object)
	}
	switch {
	case f.Allowed == nil:
	case *f.Allowed:
		and("allowed")
	default:
		and("NOT allowed")
	}
	if !f.Since.IsZero() {
		and("at >= ?", f.Since.UnixMicro())
	}
	return b.String(), args
}

// column returns the name of a column, or an equal expression that uses no index.
func column(name string, indexed bool) string {
	if indexed {
		return name
	}
	return name + " || ''"
}

// literal removes LIKE wildcards, which no id contains.
var literal = strings.NewReplacer("%", " ", "_", " ", `\`, " ")

func scanEvent(r row) (Event, error) {
	var e Event
	err := r.Scan(&e.N, moment{&e.At}, &e.User, &e.Act, &e.Object, &e.From, &e.Allowed, &e.Detail, &e.Count)
	return e, err
}

// eventColumns are the columns that scanEvent reads.
const eventColumns = `n, at, user_id, act, object, address, allowed, detail,
	(SELECT count(*) FROM audit_images i WHERE i.n = audit.n)`

// A place is the position of an event in the log: its time and number.
type place struct{ at, n int64 }

func (p place) String() string { return fmt.Sprintf("%d.%d", p.at, p.n) }

// placeAfter parses the cursor of a page, empty for the first.
func placeAfter(cursor string) (place, error) {
	if cursor == "" {
		return place{math.MaxInt64, math.MaxInt64}, nil
	}
	at, n, _ := strings.Cut(cursor, ".")
	var p place
	var err, errN error
	p.at, err = strconv.ParseInt(at, 10, 64)
	p.n, errN = strconv.ParseInt(n, 10, 64)
	if err != nil || errN != nil || p.n < 1 {
		return p, ErrBadCursor
	}
	return p, nil
}

// List returns events, newest first, and the cursor of the next page, empty on the
// last. The error may be [ErrBadCursor].
func (a *Audit) List(ctx context.Context, f EventFilter, cursor string) (events []Event, next string, err error) {
	after, err := placeAfter(cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageLimit(f.Limit)
	where, args := f.where(after)
	events, err = all(ctx, a.read, scanEvent, "audit log", `SELECT `+eventColumns+` FROM audit
		WHERE `+where+` ORDER BY at DESC, n DESC LIMIT `+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", err
	}
	if len(events) > limit {
		events = events[:limit]
		last := &events[limit-1]
		next = place{last.At.UnixMicro(), last.N}.String()
	}
	if f.Images {
		err = a.addImages(ctx, events)
	}
	return events, next, err
}

// addImages sets the images of events, in the order in which they were shown.
func (a *Audit) addImages(ctx context.Context, events []Event) error {
	for i := range events {
		e := &events[i]
		if e.Count == 0 {
			continue
		}
		var err error
		if e.Images, err = all(ctx, a.read, scanText, "audit log", `SELECT image FROM audit_images WHERE n = $1 ORDER BY at, image`, e.N); err != nil {
			return err
		}
	}
	return nil
}

func scanText(r row) (string, error) {
	var s string
	err := r.Scan(&s)
	return s, err
}
