package task

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func TestNext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, schedule, zone string
		last                 string
		want                 []string // one after the other
	}{
		{"interval", "15m", "", "2026-01-01T00:07:30Z", []string{"2026-01-01T00:22:30Z", "2026-01-01T00:37:30Z"}},
		{"mixed interval", "1h30m", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"2026-01-01T01:30:00Z"}},
		{"interval over a change of clocks", "24h", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T12:00:00Z"}},
		{"nightly", "30 2 * * *", "UTC", "2026-01-01T02:30:00Z", []string{"2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"}},
		{"in a zone", "30 2 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", []string{"2026-01-01T21:00:00Z"}},
		{"on working days", "0 6 * * 1-5", "America/New_York", "2026-01-02T12:00:00Z", []string{"2026-01-05T11:00:00Z", "2026-01-06T11:00:00Z"}},
		{"minutes", "*/20 * * * *", "UTC", "2026-01-01T00:01:00Z", []string{"2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z", "2026-01-01T01:00:00Z"}},
		{"leap day", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
		// Berlin: on 2026-03-29 at 2:00 it is 3:00, on 2026-10-25 at 3:00 it is 2:00.
		{"left out", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"every hour, left out", "0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		{"every hour, twice", "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"clocks that change by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", []string{"2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"}},
		{"west", "30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", []string{"2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last, err := time.Parse(time.RFC3339, tt.last)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				got, err := Next(tt.schedule, tt.zone, last)
				if err != nil {
					t.Fatal(err)
				}
				if s := got.Format(time.RFC3339); s != want {
					t.Errorf("Next(%q, %q, %s) = %s, want %s", tt.schedule, tt.zone, last.Format(time.RFC3339), s, want)
				}
				last = got
			}
		})
	}
}

func TestCheckSchedule(t *testing.T) {
	t.Parallel()
	tests := []struct{ schedule, zone, want string }{
		{"15m", "", ""},
		{"10s", "Europe/Berlin", ""},
		{"0 3 * * 0", "Asia/Tokyo", ""},
		{"5s", "", `invalid schedule: "5s" is shorter than 10s`},
		{"-15m", "", `invalid schedule: "-15m" is shorter than 10s`},
		{"", "", `invalid schedule: "" is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week`},
		{"@daily", "", `invalid schedule: "@daily" is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week`},
		{"0 0 3 * * 0", "", `invalid schedule: "0 0 3 * * 0" is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week`},
		{"TZ=UTC 0 3 * * 0", "", `invalid schedule: "TZ=UTC 0 3 * * 0" is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week`},
		{"TZ=UTC 0 3 * *", "", `invalid schedule: "TZ=UTC 0 3 * *": give the time zone separately`},
		{"61 3 * * 0", "", `invalid schedule: "61 3 * * 0": end of range (61) above maximum (59): 61`},
		{"0 0 30 2 *", "", `invalid schedule: "0 0 30 2 *" is never due`},
		{"0 */2 30 2 *", "", `invalid schedule: "0 */2 30 2 *" is never due`},
		{"15m", "Middle/Earth", `invalid schedule: unknown time zone "Middle/Earth"; use a name like Europe/Berlin`},
		{"15m", "../../etc/passwd", `invalid schedule: unknown time zone "../../etc/passwd"; use a name like Europe/Berlin`},
		{"1d", "", ""},
		{"7d", "", ""},
		{"9999d", "", `invalid schedule: "9999d" is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week`},
		{"7", "", `invalid schedule: "7" has no unit; write 7m, 7h or 7d`},
	}
	for _, tt := range tests {
		err := CheckSchedule(tt.schedule, tt.zone)
		var got string
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || err != nil && !errors.Is(err, ErrBadSchedule) {
			t.Errorf("CheckSchedule(%q, %q):\n got %s\nwant %s", tt.schedule, tt.zone, got, tt.want)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add("30 2 * * *", "Europe/Berlin", int64(1774742400))
	f.Add("1h", "", int64(0))
	f.Fuzz(func(t *testing.T, schedule, zone string, at int64) {
		last := time.Unix(at%4e9, 0).UTC()
		if next, err := Next(schedule, zone, last); err == nil && !next.After(last) {
			t.Errorf("Next(%q, %q, %s) = %s", schedule, zone, last, next)
		}
	})
}

// addStore adds a store whose folder need not exist.
func addStore(t *testing.T, svc *Service, s catalog.Store) *catalog.Store {
	t.Helper()
	s.Mode, s.Root = catalog.InPlace, t.TempDir()
	added, err := svc.Catalog.Stores.Put(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// TestScheduleOnce lets several processes check the same schedules at the same time.
func TestScheduleOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		kinds := []Kind{{Name: SyncStore}, {Name: VerifyStore}} // not unique: a second one would be seen
		all := []*Service{open(t, url, kinds...), open(t, url, kinds...), open(t, url, kinds...)}
		svc := all[0]
		often := addStore(t, svc, catalog.Store{Label: "often", Schedule: "15m", Verify: "0 3 * * *", TimeZone: "UTC", Host: "Scanner 7"})
		addStore(t, svc, catalog.Store{Label: "never"})
		addStore(t, svc, catalog.Store{Label: "broken", Schedule: "whenever"})
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for now := begin; now.Before(begin.Add(24 * time.Hour)); now = now.Add(7 * time.Minute) {
			var look sync.WaitGroup
			for _, svc := range all {
				look.Go(func() {
					if err := svc.enqueueDue(t.Context(), now); !errors.Is(err, ErrBadSchedule) {
						t.Errorf("error %v, want the broken schedule's", err)
					}
				})
			}
			look.Wait()
		}
		count := func(kind string) int {
			page, _, err := svc.List(t.Context(), Filter{Kind: kind, Store: often.ID, Queue: "host-scanner-7", Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			return len(page)
		}
		// Begun at 0:00, due 95 times until 23:55; the phase is kept, though it is checked every seven minutes.
		if n := count(SyncStore); n != 95 {
			t.Errorf("%d times synced, want 95", n)
		}
		if n := count(VerifyStore); n != 1 {
			t.Errorf("%d times verified, want once", n)
		}
		if page, _, err := svc.List(t.Context(), Filter{Limit: 1000}); err != nil || len(page) != 96 {
			t.Errorf("%d tasks in all, %v", len(page), err)
		}
	})
}

func TestNextRun(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore})
		s := addStore(t, svc, catalog.Store{Schedule: "15m"})
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		steps := []struct {
			name     string
			schedule string
			now      time.Duration
			want     time.Duration // next run; 0 without a schedule
			tasks    int
		}{
			{"begins", "15m", 0, 15 * time.Minute, 0},
			{"not yet", "15m", 14 * time.Minute, 15 * time.Minute, 0},
			{"due", "15m", 16 * time.Minute, 30 * time.Minute, 1},
			{"nobody looked for long", "15m", 131 * time.Minute, 135 * time.Minute, 2},
			{"another schedule counts from now", "1h", 140 * time.Minute, 200 * time.Minute, 2},
			{"taken away", "", 300 * time.Minute, 0, 2},
			{"given back the same", "1h", 310 * time.Minute, 320 * time.Minute, 3}, // it has been due since
		}
		for _, st := range steps {
			s.Schedule = st.schedule
			if _, err := svc.Catalog.Stores.Put(t.Context(), *s); err != nil {
				t.Fatal(err)
			}
			if err := svc.enqueueDue(t.Context(), begin.Add(st.now)); err != nil {
				t.Fatal(err)
			}
			got, err := svc.NextRun(t.Context(), s, SyncStore)
			if err != nil {
				t.Fatal(err)
			}
			var want *time.Time
			if st.want != 0 {
				at := begin.Add(st.want)
				want = &at
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: next run (-want +got):\n%s", st.name, diff)
			}
			if page, _, err := svc.List(t.Context(), Filter{}); err != nil || len(page) != st.tasks {
				t.Errorf("%s: %d tasks, want %d, %v", st.name, len(page), st.tasks, err)
			}
		}
	})
}

// TestScheduledWork: a worker enqueues scheduled tasks.
func TestScheduledWork(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore, Run: func(context.Context, *Task) (any, error) { return nil, nil }})
		s := addStore(t, svc, catalog.Store{Schedule: "1h"})
		if err := svc.enqueueDue(t.Context(), time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		work(t, svc, one)
		for began := time.Now(); ; time.Sleep(testPoll) {
			page, _, err := svc.List(t.Context(), Filter{Store: s.ID, State: Succeeded})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 1 {
				return
			}
			if time.Since(began) > waitTime {
				t.Fatal("not synced")
			}
		}
	})
}

// TestKeep: a task that has ended is removed after a while, with its log and progress.
func TestKeep(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore, Run: func(_ context.Context, task *Task) (any, error) {
			task.Progress(1, 1, "files")
			task.Logf("here")
			return nil, nil
		}})
		stop := work(t, svc, one)
		old, young := submit(t, svc, Submission{Kind: SyncStore}), submit(t, svc, Submission{Kind: SyncStore})
		wait(t, svc, old.ID)
		wait(t, svc, young.ID)
		stop()
		set := func(id string, age time.Duration) {
			n, err := taskNumber(id)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(-age).UTC().Format("2006-01-02 15:04:05.000")
			if _, err := svc.db.write.ExecContext(t.Context(), `UPDATE river_job SET finalized_at = $1 WHERE id = $2`, at, n); err != nil {
				t.Fatal(err)
			}
		}
		set(old.ID, 7*24*time.Hour+time.Minute)
		set(young.ID, 7*24*time.Hour-time.Minute)
		work(t, svc, one)
		for began := time.Now(); ; time.Sleep(testPoll) {
			if _, err := svc.Get(t.Context(), old.ID); errors.Is(err, ErrNotFound) {
				break
			}
			if time.Since(began) > waitTime {
				t.Fatal("it is still there")
			}
		}
		if v, err := svc.Get(t.Context(), young.ID); err != nil || v.Progress == nil {
			t.Errorf("the other: %+v, %v", v, err)
		}
		if err := svc.db.tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"task_progress", "task_log"} {
			var n sql.NullInt64
			if err := svc.db.read.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n.Int64 != 1 {
				t.Errorf("%s: %d rows, %v", table, n.Int64, err)
			}
		}
	})
}
