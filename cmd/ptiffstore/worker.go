package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

// working are the flags of every mode that does tasks.
type working struct {
	Host     string   `key:"host" placeholder:"NAME" help:"Name of this host: stores that are bound to it are kept in step here. Default: what the system says."`
	TimeZone string   `key:"time_zone" name:"time-zone" placeholder:"ZONE" help:"Time zone of schedules that name none, such as Europe/Berlin; the same for all processes of a site. Default: this machine's."`
	Queues   []string `key:"queues" form:"counts" name:"queue" placeholder:"NAME[=N]" help:"Do the tasks of this queue, N at once; may be repeated. Default: default=4, and the queue of this host."`
}

// host is the name of this host.
func (w *working) host() string {
	if w.Host != "" {
		return w.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// check says what is wrong with the flags.
func (w *working) check() error {
	if _, err := time.LoadLocation(w.TimeZone); err != nil {
		return fmt.Errorf("--time-zone %s: no time zone is called so; one like Europe/Berlin is", w.TimeZone)
	}
	_, err := w.queues()
	return err
}

// defaultTasks is how many tasks of a queue are done at once. They wait for disks
// most of the time.
const defaultTasks = 4

// queues are those that are served, and how many tasks of each are done at once.
func (w *working) queues() (map[string]int, error) {
	if len(w.Queues) == 0 {
		return map[string]int{task.DefaultQueue: defaultTasks, task.HostQueue(w.host()): defaultTasks}, nil
	}
	list := map[string]int{}
	for _, q := range w.Queues {
		name, number, found := strings.Cut(q, "=")
		n := defaultTasks
		if found {
			var err error
			if n, err = strconv.Atoi(number); err != nil || n < 1 || n > 1000 {
				return nil, fmt.Errorf("--queue %s: after the = stands how many tasks are done at once, from 1 to 1000", q)
			}
		}
		if err := task.CheckQueue(name); err != nil {
			return nil, fmt.Errorf("--queue %s: %w", q, err)
		}
		list[name] = n
	}
	return list, nil
}

type workerCmd struct {
	place
	working
	logging
	keeping
	looking
}

func (*workerCmd) Help() string {
	return "Keeps the stores in step that are bound to this host or to none, and does the tasks of its queues, beside the files. When it is told to stop, a task that runs is handed back to the queue.\n\nExample:\n\n  ptiffstore worker --database postgres://db/ptiffstore --queue autosync --queue default=2"
}

// Run works until ctx is done.
func (c *workerCmd) Run(ctx context.Context, std streams, file *siteFile) error {
	log, level := c.leveled(std.err)
	if err := c.await(ctx, log); err != nil {
		return err
	}
	s, err := openSite(ctx, &c.place, &c.keeping, log)
	if err != nil {
		return err
	}
	defer s.close()
	s.level, s.file = level, file
	if err := s.declare(ctx, file.file, c.host()); err != nil {
		return err
	}
	if err := s.follow(ctx, &c.looking, "worker"); err != nil {
		return err
	}
	if err := s.hire(ctx, &c.working); err != nil {
		return err
	}
	f := &follow.Follower{Catalog: s.catalog, Tiles: s.tiles, Log: s.log, Loops: &s.loops}
	if err := f.Load(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	s.obey(ctx, &wg, func(p *program) error {
		s.relevel(&p.Worker.logging, &p.Worker.keeping)
		return s.declare(ctx, s.file.current(), c.host())
	})
	s.work(ctx, &wg, &c.working)
	s.metrics.Watch(s.figures())
	if err := s.lookAfter(ctx, &wg, &c.looking); err != nil {
		return err
	}
	s.health.Ready.Store(true)
	wg.Wait()
	return nil
}

// hire readies what keeps stores in step and does tasks.
func (s *site) hire(ctx context.Context, w *working) error {
	if err := w.check(); err != nil {
		return err
	}
	syncer := &ingest.Syncer{
		Catalog: s.catalog, Log: s.log, Host: w.host(), Holder: ingest.Holder(w.host()), Memory: s.decode, Loops: &s.loops,
	}
	s.crew = &crew{
		catalog: s.catalog, syncer: syncer, labels: ingest.NewLabels(syncer),
		verifier: &verify.Verifier{Catalog: s.catalog, Log: s.log},
		tiles:    s.tiles, maker: s.maker, decode: s.decode, reserve: s.taking.Reserve, log: s.log,
	}
	var err error
	s.jobs, err = task.Open(ctx, task.Options{Database: s.url, Catalog: s.catalog, Kinds: s.crew.kinds(), Host: w.host(), TimeZone: w.TimeZone, Version: version, Origin: s.origin, Begin: s.begin, Log: s.log, Loops: &s.loops})
	if err != nil {
		return err
	}
	s.watch = ingest.NewWatchers(syncer)
	return nil
}

// work keeps stores in step and does tasks until ctx is done.
func (s *site) work(ctx context.Context, wg *sync.WaitGroup, w *working) {
	queues, _ := w.queues() // has been asked before
	s.countTasks()
	a := &arrivals{catalog: s.catalog, jobs: s.jobs, decode: s.decode, log: s.log, loops: &s.loops}
	s.crew.syncer.Available = a.add
	s.crew.syncer.Arrived = a.add
	s.crew.syncer.Aside = a.addAside
	wg.Go(func() { s.watch.Run(ctx) })
	wg.Go(func() { a.run(ctx) })
	wg.Go(func() {
		if err := s.jobs.Work(ctx, task.WorkOptions{Queues: queues}); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("tasks are no longer done", "err", err)
		}
	})
}
