package account

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// An Event is a line of the audit log: who did what, and whether it was allowed. It
// holds ids and no patient data, and no secret.
type Event struct {
	N       int64     `json:"n"` // its number
	At      time.Time `json:"at"`
	User    string    `json:"user"` // id; empty if nobody has logged in
	Act     string    `json:"act"`  // such as label.show, login, grant.add
	Object  string    `json:"object"`
	From    string    `json:"from"` // address
	Allowed bool      `json:"allowed"`
	Detail  string    `json:"detail,omitempty"`
}

// Record adds an event to the audit log. At is now if it is zero; N is given.
//
// Nothing changes or removes an event: the database itself refuses it.
func (a *Accounts) Record(ctx context.Context, e Event) error {
	if e.At.IsZero() {
		e.At = a.now()
	}
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.User, e.Act, e.Object = printable(e.User, 64), printable(e.Act, 64), printable(e.Object, 200)
	e.From, e.Detail = printable(e.From, 64), printable(e.Detail, 500)
	err := a.write.QueryRowContext(ctx, `INSERT INTO audit (at, user_id, act, object, address, allowed, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING n`,
		e.At.UnixMicro(), e.User, e.Act, e.Object, e.From, e.Allowed, e.Detail).Scan(&e.N)
	if err != nil {
		return a.wrap(err, "audit log")
	}
	if a.o.AuditLog == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("account: audit log: %w", err)
	}
	a.auditMu.Lock()
	defer a.auditMu.Unlock()
	if _, err := a.o.AuditLog.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("account: the event is in the database, but not in the file of the audit log: %w", err)
	}
	return nil
}

// An EventFilter says which events are wanted; what is empty is any.
type EventFilter struct {
	User, Act, Object string
	Since, Until      time.Time // from, and before
	Limit             int       // 1 to 1000; 100 if 0
}

func scanEvent(r row) (Event, error) {
	var e Event
	err := r.Scan(&e.N, moment{&e.At}, &e.User, &e.Act, &e.Object, &e.From, &e.Allowed, &e.Detail)
	return e, err
}

// Events returns events, the newest first, and the cursor of the next page, empty if
// this was the last. The error may be [ErrBadCursor].
func (a *Accounts) Events(ctx context.Context, f EventFilter, cursor string) (events []Event, next string, err error) {
	before := int64(1<<63 - 1)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return nil, "", ErrBadCursor
		}
	}
	since, until := int64(-1<<62), int64(1<<62)
	if !f.Since.IsZero() {
		since = f.Since.UnixMicro()
	}
	if !f.Until.IsZero() {
		until = f.Until.UnixMicro()
	}
	limit := pageLimit(f.Limit)
	events, err = all(ctx, a, a.read, scanEvent, "audit log", `SELECT n, at, user_id, act, object, address, allowed, detail FROM audit
		WHERE n < $1 AND ($2 = '' OR user_id = $2) AND ($3 = '' OR act = $3) AND ($4 = '' OR object = $4) AND at >= $5 AND at < $6
		ORDER BY n DESC LIMIT $7`, before, f.User, f.Act, f.Object, since, until, limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(events) > limit {
		events = events[:limit]
		next = strconv.FormatInt(events[limit-1].N, 10)
	}
	return events, next, nil
}
