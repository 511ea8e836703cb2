package account

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		var lines bytes.Buffer
		a := must(Open(t.Context(), url, Options{Now: c.now, Password: cheap, AuditLog: &lines}))(t)
		defer a.Close()
		ctx := t.Context()
		began := c.now()
		events := []Event{
			{User: "u1", Act: "login", Object: "", From: "192.0.2.1", Allowed: true},
			{User: "", Act: "login", From: "192.0.2.2", Allowed: false, Detail: "wrong name or password"},
			{User: "u1", Act: "label.show", Object: "i1", From: "192.0.2.1", Allowed: true},
			{User: "u2", Act: "label.show", Object: "i1", From: "192.0.2.3\r\n{}", Allowed: false},
			{User: "u2", Act: "label.show", Object: "i2", Allowed: true},
			{User: "u2", Act: "group.join", Object: "g1 u1", Allowed: true},
			{User: "u1", Act: "label.list", Object: "s1", Allowed: true, Images: []string{"i2", "i3"}},
		}
		for i := range events {
			check(t, a.Audit.Record(ctx, events[i]))
			events[i].N, events[i].At = int64(i+1), c.now()
			c.add(time.Minute)
		}
		events[3].From = "192.0.2.3{}" // one line stays one
		for _, tt := range []struct {
			name   string
			filter EventFilter
			want   []int // numbers
		}{
			{"all", EventFilter{}, []int{7, 6, 5, 4, 3, 2, 1}},
			{"user", EventFilter{User: "u1"}, []int{7, 3, 1}},
			{"act", EventFilter{Act: "login"}, []int{2, 1}},
			{"object", EventFilter{Object: "i1"}, []int{4, 3}},
			{"two", EventFilter{Object: "i1", User: "u2"}, []int{4}},
			{"since", EventFilter{Since: began.Add(3 * time.Minute)}, []int{7, 6, 5, 4}},
			{"until", EventFilter{Until: began.Add(3 * time.Minute)}, []int{3, 2, 1}},
			{"by one", EventFilter{Limit: 1, User: "u2"}, []int{6, 5, 4}},
			{"none", EventFilter{User: "u3"}, nil},
			{"refused", EventFilter{Allowed: new(bool)}, []int{4, 2}},
			{"allowed", EventFilter{Allowed: new(true), Act: "label.show"}, []int{5, 3}},
			{"refused by one", EventFilter{Allowed: new(bool), Limit: 1, Since: began.Add(time.Minute)}, []int{4, 2}},
			{"one of two objects", EventFilter{Object: "u1"}, []int{6}},
			{"the other", EventFilter{Object: "g1"}, []int{6}},
			{"one of the images", EventFilter{Object: "i3"}, []int{7}},
			{"object of one, image of another", EventFilter{Object: "i2"}, []int{7, 5}},
			{"half an object", EventFilter{Object: "u"}, nil},
			{"a pattern", EventFilter{Object: "%"}, nil},
		} {
			var got, want []Event
			for _, n := range tt.want {
				want = append(want, events[n-1])
			}
			for cursor := ""; ; {
				tt.filter.Images = true
				page, next, err := a.Audit.List(ctx, tt.filter, cursor)
				check(t, err)
				if got = append(got, page...); next == "" {
					break
				}
				cursor = next
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Event{}, "Count")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		for _, cursor := range []string{"x", "-1", "0", "1.", "1.0", "1.x", "1.1.1", "1; DROP TABLE audit"} {
			_, _, err := a.Audit.List(ctx, EventFilter{}, cursor)
			checkError(t, cursor, err, ErrBadCursor)
		}
		var written []Event
		for line := range strings.Lines(lines.String()) {
			var e Event
			check(t, json.Unmarshal([]byte(line), &e))
			written = append(written, e)
		}
		if diff := cmp.Diff(events, written); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

// TestAuditImages adds images to an entry, as when a user scrolls through a list: it stays
// one entry, and the file of the log has a line of each addition.
func TestAuditImages(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		var lines bytes.Buffer
		a := must(Open(t.Context(), url, Options{Now: c.now, Password: cheap, AuditLog: &lines}))(t)
		defer a.Close()
		ctx := t.Context()
		e := Event{User: "u1", Act: "label.list", Allowed: true}
		began := c.now()
		for i := range 3*imagesAtOnce + 1 {
			e.Images = append(e.Images, fmt.Sprintf("i%04d", i))
		}
		n := must(a.Audit.RecordImages(ctx, e))(t)
		c.add(time.Minute)
		e.N, e.Images = n, []string{"a"}
		if again := must(a.Audit.RecordImages(ctx, e))(t); again != n {
			t.Errorf("added to entry %d, want %d", again, n)
		}
		if _, err := a.Audit.RecordImages(ctx, e); err == nil {
			t.Error("an image was added twice")
		}
		got, _, err := a.Audit.List(ctx, EventFilter{Images: true, Object: "a"}, "")
		check(t, err)
		if len(got) != 1 || got[0].Count != 3*imagesAtOnce+2 || len(got[0].Images) != got[0].Count || got[0].Images[got[0].Count-1] != "a" || !got[0].At.Equal(began) {
			t.Errorf("%d entries, the first with %d images", len(got), got[0].Count)
		}
		if n := strings.Count(lines.String(), "\n"); n != 2 {
			t.Errorf("%d lines in the file, want 2", n)
		}
	})
}

// TestAuditStays tries to change the audit log.
func TestAuditStays(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		check(t, a.Audit.Record(ctx, Event{User: "u1", Act: "login", Images: []string{"i1"}}))
		before, _, err := a.Audit.List(ctx, EventFilter{Images: true}, "")
		check(t, err)
		for _, statement := range []string{
			`UPDATE audit SET user_id = 'u2'`,
			`UPDATE audit SET user_id = 'u2' WHERE n = 1`,
			`DELETE FROM audit`,
			`DELETE FROM audit WHERE n = 1`,
			`TRUNCATE audit`,
			`TRUNCATE audit CASCADE`,
			`UPDATE audit_images SET image = 'i2'`,
			`DELETE FROM audit_images`,
			`TRUNCATE audit_images`,
			`INSERT OR REPLACE INTO audit_images (image, n, at) VALUES ('i1', 1, 0)`,
			`INSERT INTO audit_images (image, n, at) VALUES ('i1', 1, 0) ON CONFLICT (image, n) DO UPDATE SET at = 0`,
			`INSERT OR REPLACE INTO audit (n, at, user_id, act, object, address, allowed, detail) VALUES (1, 0, 'u2', '', '', '', TRUE, '')`,
			`INSERT INTO audit (n, at, user_id, act, object, address, allowed, detail) VALUES (1, 0, 'u2', '', '', '', TRUE, '')
				ON CONFLICT (n) DO UPDATE SET user_id = 'u2'`,
		} {
			if _, err := a.write.ExecContext(ctx, statement); err == nil {
				t.Errorf("%s was let through", statement)
			}
		}
		after, _, err := a.Audit.List(ctx, EventFilter{Images: true}, "")
		check(t, err)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the log has changed (-want +got):\n%s", diff)
		}
	})
}

// TestNoStatementChangesAudit checks that no statement in the source changes the audit
// log.
func TestNoStatementChangesAudit(t *testing.T) {
	files := must(filepath.Glob("*.go"))(t)
	change := regexp.MustCompile(`(?i)(UPDATE|DELETE\s+FROM|TRUNCATE|REPLACE\s+INTO|DROP\s+TABLE)\s+audit(_images)?\b`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		if b := must(os.ReadFile(f))(t); change.Match(b) {
			t.Errorf("%s changes the audit log: %s", f, change.Find(b))
		}
	}
}

// TestAuditIndexed checks that queries for events use an index.
func TestAuditIndexed(t *testing.T) {
	a := must(Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "a.db"), Options{Password: cheap}))(t)
	defer a.Close()
	for _, f := range []EventFilter{
		{},
		{User: "u"},
		{Act: "login"},
		{Object: "i"},
		{Allowed: new(bool)},
		{Since: time.Unix(1, 0), Until: time.Unix(2, 0)},
		{User: "u", Object: "i", Allowed: new(true), Until: time.Unix(2, 0)},
	} {
		where, args := f.where(place{1, 1})
		rows, err := a.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN SELECT n FROM audit WHERE `+where+` ORDER BY at DESC, n DESC LIMIT 10`, args...)
		check(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			check(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		check(t, rows.Err())
		if all := strings.Join(plan, "; "); !strings.Contains(all, "SEARCH audit USING") || strings.Contains(all, "SCAN") {
			t.Errorf("%+v: %s", f, all)
		}
	}
}
