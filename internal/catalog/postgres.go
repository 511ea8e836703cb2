package catalog

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is the channel on which writers announce changes.
const channel = "ptiffstore_catalog"

var postgresDialect = &dialect{
	position:    "strpos",
	former:      "d.fields::json ->> 'FormerStores'",
	now:         "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
	among:       "= ANY($%d)",
	list:        func(values any) any { return values },
	arm:         [2]string{"(", ")"}, // otherwise the planner does not see that it is ordered
	placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
	by:          "%.0s",
	hold:        " FOR UPDATE",
	closing:     `UPDATE counters SET change = $1, arrival = $2 RETURNING pg_notify('` + channel + `', '')`,
	matches:     matchesPostgres,
	few:         fewPostgres,
	listen:      listenPostgres,
}

const postgresPoll = time.Second // in case a notification is lost

// blockBits: a block has 2 to that many images, in the order of arrival. The migration
// contains the same number.
const blockBits = 13

// matchesPostgres queries the index of grams. The index is unordered, but it also contains
// each image's store and block, so that the newest matches are found block by block. For
// other orders, all matches are sorted.
//
// Adding 0 or an empty text to a column prevents the planner from scanning another index in
// the requested order, which is slow.
func matchesPostgres(s *search) (q statement) {
	if s.Sort != SortCreated {
		plain := map[Sort]string{SortName: "name || ''", SortSize: "size + 0"}[s.Sort]
		q.add(`SELECT n, %s FROM images WHERE `, s.column())
		matchPostgres(s, &q, "")
		s.behind(&q, "n", plain)
		q.add(` ORDER BY %s, n LIMIT %d`, plain, s.limit)
		return q
	}
	q.add(`SELECT m.n, m.n FROM generate_series((SELECT `)
	if s.after == nil {
		q.add(`arrival FROM counters`)
	} else {
		q.arg(s.after.n)
		q.add(`::bigint`)
	}
	q.add(`) >> %d, 0, -1) AS b (block) CROSS JOIN LATERAL (SELECT n FROM images WHERE `, blockBits)
	matchPostgres(s, &q, ` || ('block ' || b.block)`)
	s.behind(&q, "n + 0", "")
	q.add(` ORDER BY n + 0 DESC LIMIT %d) m LIMIT %d`, s.limit, s.limit)
	return q
}

// entries returns the entries of the index that every match has.
func (s *search) entries() []string {
	if len(s.stores) != 1 {
		return s.grams()
	}
	return append(s.grams(), fmt.Sprintf("store %d", s.stores[0]))
}

// matchPostgres adds the condition that an image matches and is in a block.
func matchPostgres(s *search, q *statement, block string) {
	q.add(`ptiffstore_grams(words, store, n) @> (`)
	q.arg(s.entries())
	q.add(`::text[]%s) AND `, block)
	s.contains(q, "words")
	q.add(` AND shelf + 0 IN (%s)%s`, numbers(s.shelves), s.among("store + 0"))
}

const (
	// manyMatches is the number of index entries above which finding the newest matches
	// block by block is faster than reading all of them.
	manyMatches = 20_000
	// fewMatches is the number of images up to which all matches are read and sorted.
	fewMatches = 1000
)

// fewPostgres queries all matches at once. For few matches this is faster than going
// through the blocks, of which a million images have over a hundred.
func fewPostgres(ctx context.Context, s *search) ([]position, bool, error) {
	if n, err := s.estimate(ctx); err != nil || n > manyMatches {
		return nil, false, err
	}
	var q statement
	q.add(`SELECT n, n FROM (SELECT n FROM images WHERE `)
	matchPostgres(s, &q, "")
	s.behind(&q, "n + 0", "")
	q.add(` LIMIT %d) few ORDER BY n DESC`, fewMatches)
	found, err := s.read(ctx, q)
	return found, len(found) < fewMatches, err
}

// plannedRows is the part of EXPLAIN's output that is read.
var plannedRows = regexp.MustCompile(` rows=(\d+) `)

// estimate returns the planner's estimate of the number of matching index entries, from its
// statistics of common grams. It is far off if those are old.
func (s *search) estimate(ctx context.Context) (int, error) {
	var q statement
	q.add(`EXPLAIN SELECT n FROM images WHERE ptiffstore_grams(words, store, n) @> `)
	q.arg(s.entries())
	q.add(`::text[]`)
	var plan string
	if err := s.h.read.QueryRowContext(ctx, q.String(), q.args...).Scan(&plan); err != nil {
		return 0, wrap(err, "images")
	}
	rows := plannedRows.FindStringSubmatch(plan)
	if rows == nil {
		return 0, nil
	}
	return strconv.Atoi(rows[1])
}

// listenPostgres wakes the watchers when another process announces a change. It polls as
// well: notifications get lost with a connection, and some proxies do not pass them at all.
func listenPostgres(ctx context.Context, h *handle) {
	var seen int64
	for ctx.Err() == nil {
		if conn, err := h.db.Connect(ctx); err == nil {
			h.readNotifications(ctx, conn, &seen)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			conn.Close(closing) //nolint:errcheck // it is no longer needed
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(postgresPoll):
		}
	}
}

// readNotifications reads notifications until the connection is lost.
func (h *handle) readNotifications(ctx context.Context, conn *pgx.Conn, seen *int64) {
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return
	}
	for {
		var n int64
		if err := conn.QueryRow(ctx, `SELECT change FROM counters`).Scan(&n); err != nil {
			return
		}
		if n != *seen {
			*seen = n
			h.wake()
		}
		wait, cancel := context.WithTimeout(ctx, postgresPoll)
		_, err := conn.WaitForNotification(wait)
		cancel()
		if err != nil && (ctx.Err() != nil || conn.IsClosed()) {
			return
		}
	}
}
