package catalog

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

var sqliteDialect = &dialect{
	position: "instr",
	former:   "json_extract(d.fields, '$.FormerStores')",
	now:      "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
	among:    "IN (SELECT value FROM json_each($%d))",
	list: func(values any) any {
		b, _ := json.Marshal(values) // numbers or ids
		return string(b)
	},
	placeholder: func(int) string { return "?" },
	by:          " INDEXED BY %s",
	closing:     `UPDATE counters SET change = $1, arrival = $2`,
	matches:     matchesSQLite,
	listen:      pollSQLite,
}

// sqlitePoll is how often changes by other processes are polled, at a cost of about 20 µs.
const sqlitePoll = 250 * time.Millisecond

// matchesSQLite queries the index of trigrams. It is in the order of arrival, so that the
// newest matches come first; for other orders all matches are sorted.
func matchesSQLite(s *search) (q statement) {
	q.add(`SELECT i.n, i.%s FROM search f CROSS JOIN images i ON i.n = f.rowid WHERE f.search MATCH `, s.column())
	q.arg(matchAll(s.grams()))
	q.add(` AND i.shelf IN (%s) AND `, numbers(s.shelves))
	s.contains(&q, "i.words")
	q.add("%s", s.among("i.store"))
	if s.Sort == SortCreated {
		s.behind(&q, "f.rowid", "")
		q.add(` ORDER BY f.rowid DESC LIMIT %d`, s.limit)
	} else {
		s.behind(&q, "i.n", "i."+s.column())
		q.add(` ORDER BY i.%s, i.n LIMIT %d`, s.column(), s.limit)
	}
	return q
}

// matchAll returns the FTS5 expression for rows that have all of the grams.
func matchAll(grams []string) string {
	quoted := make([]string, len(grams))
	for i, g := range grams {
		quoted[i] = `"` + strings.ReplaceAll(g, `"`, `""`) + `"`
	}
	return strings.Join(quoted, " AND ")
}

// pollSQLite polls for changes by other processes.
func pollSQLite(ctx context.Context, h *handle) {
	tick := time.NewTicker(sqlitePoll)
	defer tick.Stop()
	var seen int64
	for {
		var n int64
		if err := h.read.QueryRowContext(ctx, `SELECT change FROM counters`).Scan(&n); err == nil && n != seen {
			seen = n
			h.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
