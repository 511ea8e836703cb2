package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for hosts without a time zone database

	"github.com/robfig/cron/v3"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// ErrBadSchedule: the schedule is not valid, or its time zone is unknown.
var ErrBadSchedule = errors.New("invalid schedule")

// minInterval is the shortest interval. Watched folders are scanned sooner.
const minInterval = 10 * time.Second

var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// CheckSchedule returns nil if a schedule and its time zone are valid, otherwise an
// [ErrBadSchedule] that explains the problem.
func CheckSchedule(schedule, timezone string) error {
	_, err := Next(schedule, timezone, time.Now())
	return err
}

// Next returns the first time after last at which a schedule is due. A schedule is an
// interval of at least 10 seconds, such as "15m", "1h30m" or "7d", or five cron fields, such as
// "30 2 * * 1-5": minute, hour, day of month, month, day of week. They refer to local time
// in a time zone such as "Europe/Berlin", or "" for that of this host.
//
// If the hour is fixed, the schedule is due once a day also when clocks are changed: a
// local time that is skipped is due later by the amount of the change; of a local time that
// occurs twice, the first one counts.
func Next(schedule, timezone string, last time.Time) (time.Time, error) {
	zone, err := loadZone(timezone)
	if err != nil {
		return time.Time{}, err
	}
	if d, err := parseInterval(schedule); err == nil {
		if d < minInterval {
			return time.Time{}, fmt.Errorf("%w: %q is shorter than %s", ErrBadSchedule, schedule, minInterval)
		}
		return last.Add(d), nil
	}
	if _, err := strconv.ParseFloat(schedule, 64); err == nil {
		return time.Time{}, fmt.Errorf("%w: %q has no unit; write %sm, %sh or %sd", ErrBadSchedule, schedule, schedule, schedule, schedule)
	}
	fields := strings.Fields(schedule)
	if len(fields) != 5 {
		return time.Time{}, fmt.Errorf("%w: %q is neither an interval like 15m nor five fields like 30 2 * * *: minute, hour, day, month, day of the week", ErrBadSchedule, schedule)
	}
	if strings.Contains(schedule, "=") {
		return time.Time{}, fmt.Errorf("%w: %q: give the time zone separately", ErrBadSchedule, schedule)
	}
	parsed, err := parser.Parse(schedule)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %q: %w", ErrBadSchedule, schedule, err)
	}
	spec := parsed.(*cron.SpecSchedule)
	var next time.Time
	if strings.ContainsAny(fields[1], "*/") {
		spec.Location = zone
		next = spec.Next(last)
	} else {
		next = nextOnClock(spec, zone, last)
	}
	if next.IsZero() {
		return time.Time{}, fmt.Errorf("%w: %q is never due", ErrBadSchedule, schedule)
	}
	return next.In(last.Location()), nil
}

func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: unknown time zone %q; use a name like Europe/Berlin", ErrBadSchedule, name)
	}
	return zone, nil
}

// nextOnClock finds the next matching local time, as if clocks were never changed, and
// converts it. It returns the zero time if no time matches.
func nextOnClock(spec *cron.SpecSchedule, zone *time.Location, last time.Time) time.Time {
	spec.Location = time.UTC
	for clock := onClock(last.In(zone)); ; {
		if clock = spec.Next(clock); clock.IsZero() {
			return clock
		}
		next := atClock(clock, zone)
		if next.After(last) {
			return next
		}
	}
}

// atClock returns the time at which clocks show the local time clock: the first one if it
// occurs twice, and if it is skipped, the time later by the amount of the change.
func atClock(clock time.Time, zone *time.Location) time.Time {
	const around = 24 * time.Hour // clocks are not changed twice in this time
	before := clock.Add(-offset(clock.Add(-around).In(zone))).In(zone)
	after := clock.Add(-offset(clock.Add(around).In(zone))).In(zone)
	if !onClock(before).Equal(clock) && onClock(after).Equal(clock) {
		return after
	}
	return before
}

// onClock returns the local time at t, represented as UTC.
func onClock(t time.Time) time.Time { return t.UTC().Add(offset(t)) }

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// moveEvery is how often slides that have become old enough are moved to a bucket.
const moveEvery = "24h"

// A plan is a schedule for a task of a store.
type plan struct {
	store, kind, queue string
	schedule, zone     string
}

// key is stored with the last time, so that a changed schedule starts over.
func (p *plan) key() string { return strings.TrimSpace(p.schedule + " " + p.zone) }

// plans returns the schedules of a store.
func (s *Service) plans(st *catalog.Store) []plan {
	var list []plan
	moving := ""
	if st.MoveTo != "" {
		moving = moveEvery
	}
	for _, p := range []plan{{kind: SyncStore, schedule: st.Schedule}, {kind: VerifyStore, schedule: st.Verify}, {kind: MoveImage, schedule: moving}} {
		if p.schedule != "" {
			p.store, p.queue, p.zone = st.ID, QueueOf(st), cmp.Or(st.TimeZone, s.TimeZone)
			list = append(list, p)
		}
	}
	return list
}

// NextRun returns the time when the next task of a store and kind, [SyncStore] or
// [VerifyStore], is due; nil without a schedule.
func (s *Service) NextRun(ctx context.Context, st *catalog.Store, kind string) (*time.Time, error) {
	last, err := s.db.lastEnqueued(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range s.plans(st) {
		if p.kind != kind {
			continue
		}
		begin, ok := last.of(p)
		if !ok {
			begin = time.Now().UTC()
		}
		next, err := Next(p.schedule, p.zone, begin)
		if err != nil {
			return nil, err
		}
		next = next.UTC()
		return &next, nil
	}
	return nil, nil
}

// schedule enqueues tasks that are due, until ctx is done.
func (w *worker) schedule(ctx context.Context) {
	l := w.Loops.New(w.Log, "schedules", "")
	l.Longest = 2 * w.Heartbeat
	l.Run(ctx, loop.Every(4*w.Poll, func(ctx context.Context) error { return w.enqueueDue(ctx, time.Now()) }))
}

// enqueueDue enqueues the tasks of all stores that are due. If one schedule fails, it
// continues with the others.
func (s *Service) enqueueDue(ctx context.Context, now time.Time) error {
	stores, err := s.Catalog.Stores.List(ctx)
	if err != nil {
		return fmt.Errorf("schedules: %w", err)
	}
	last, err := s.db.lastEnqueued(ctx)
	if err != nil {
		return err
	}
	var all error
	for _, st := range stores {
		for _, p := range s.plans(&st) {
			if _, ok := s.kinds[p.kind]; !ok {
				continue
			}
			if begin, ok := last.of(p); ok {
				err = s.enqueue(ctx, p, begin, now)
			} else if err = CheckSchedule(p.schedule, p.zone); err == nil {
				err = s.db.begin(ctx, p, now)
			}
			if err != nil {
				all = errors.Join(all, fmt.Errorf("schedule of %s, store %s: %w", p.kind, p.store, err))
			}
		}
	}
	return all
}

// enqueue enqueues a task if it is due and no other worker has done so.
func (s *Service) enqueue(ctx context.Context, p plan, last, now time.Time) error {
	due, err := Next(p.schedule, p.zone, last)
	if err != nil || due.After(now) {
		return err
	}
	// One task makes up for all times that were missed. Intervals keep their phase.
	if d, err := time.ParseDuration(p.schedule); err == nil {
		due = due.Add(now.Sub(due).Truncate(d))
	} else {
		due = now
	}
	args, opts, err := s.prepare(Submission{Kind: p.kind, Queue: p.queue, Store: p.store})
	if err != nil {
		return err
	}
	_, err = s.db.once(ctx, `UPDATE schedules SET last_enqueued = $1 WHERE store = $2 AND kind = $3 AND schedule = $4 AND last_enqueued = $5`,
		[]any{due.UnixMicro(), p.store, p.kind, p.key(), last.UnixMicro()}, args, opts)
	return err
}

// begin makes a new or changed schedule count from now.
func (db *database) begin(ctx context.Context, p plan, now time.Time) error {
	_, err := db.write.ExecContext(ctx, `INSERT INTO schedules (store, kind, schedule, last_enqueued) VALUES ($1, $2, $3, $4)
		ON CONFLICT (store, kind) DO UPDATE SET schedule = excluded.schedule, last_enqueued = excluded.last_enqueued
		WHERE schedules.schedule <> excluded.schedule`, p.store, p.kind, p.key(), now.UnixMicro())
	return err
}

// lastTimes are the times when schedules last enqueued their tasks.
type lastTimes map[[3]string]time.Time

func (l lastTimes) of(p plan) (time.Time, bool) {
	t, ok := l[[3]string{p.store, p.kind, p.key()}]
	return t, ok
}

func (db *database) lastEnqueued(ctx context.Context) (lastTimes, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT store, kind, schedule, last_enqueued FROM schedules`)
	if err != nil {
		return nil, wrap(err, "schedules")
	}
	defer rows.Close()
	all := lastTimes{}
	for rows.Next() {
		var key [3]string
		var at int64
		if err := rows.Scan(&key[0], &key[1], &key[2], &at); err != nil {
			return nil, wrap(err, "schedules")
		}
		all[key] = time.UnixMicro(at).UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "schedules")
	}
	return all, nil
}

// parseInterval parses a duration, which may also be a number of days.
func parseInterval(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	const most = 3650
	n, err := strconv.Atoi(days)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q is not a number of days up to %d", days, most)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}
