package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/server"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// workerFlags are the flags of every mode that runs tasks.
type workerFlags struct {
	Host     string        `key:"host" placeholder:"NAME" help:"Name of this host: stores bound to it are scanned here. Default: the host name."`
	TimeZone string        `key:"time_zone" name:"time-zone" placeholder:"ZONE" help:"Time zone of schedules without one, such as Europe/Berlin; the same for all processes of an installation. Default: this machine's."`
	Queues   config.Counts `key:"queues" name:"queue" placeholder:"NAME[=N]" help:"Run tasks of this queue, N at once; can be repeated. Default: default=4, and the queue of this host."`
	Exports  string        `key:"export_folder" name:"export-folder" type:"path" placeholder:"FOLDER" help:"Folder into which tasks export images, each into a folder of its own. Without it, tasks export nothing."`
}

// host returns the name of this host.
func (w *workerFlags) host() string {
	if w.Host != "" {
		return w.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// check returns an error if a flag is invalid.
func (w *workerFlags) check() error {
	if _, err := time.LoadLocation(w.TimeZone); err != nil {
		return &flagError{"time-zone", fmt.Errorf("%s: unknown time zone: use a name such as Europe/Berlin", w.TimeZone)}
	}
	_, err := w.queues()
	return err
}

// defaultTasks is how many tasks of a queue run at once. They mostly wait for disks.
const defaultTasks = 4

// queues returns the queues to serve, and how many tasks of each run at once.
func (w *workerFlags) queues() (map[string]int, error) {
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
				return nil, &flagError{"queue", fmt.Errorf("%s: the number after = must be from 1 to 1000: it is how many tasks run at once", q)}
			}
		}
		if err := task.CheckQueue(name); err != nil {
			return nil, &flagError{"queue", fmt.Errorf("%s: %w", q, err)}
		}
		list[name] = n
	}
	return list, nil
}

type workerCmd struct {
	databaseFlags
	bucketFlags
	workerFlags
	logFlags
	cacheFlags
	debugFlags
}

func (*workerCmd) Help() string {
	return "Scans the stores that are bound to this host or to no host, and runs the tasks of its queues. When the worker is stopped, running tasks go back to their queue.\n\nExample:\n\n  ptiffstore worker --database postgres://db/ptiffstore --queue autosync --queue default=2"
}

// Run works until ctx is done.
func (c *workerCmd) Run(ctx context.Context, std streams, file *configFile) error {
	log, level := c.leveled(std.err)
	if err := c.bucketFlags.check(); err != nil {
		return err
	}
	if err := c.await(ctx, log); err != nil {
		return err
	}
	o, err := options(server.Worker, &c.databaseFlags, &c.cacheFlags, &c.debugFlags, log)
	if err != nil {
		return err
	}
	o.Bucket = c.bucketFlags.settings(log)
	if err := c.workerFlags.apply(&o, true); err != nil {
		return err
	}
	s, err := server.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := provisionStores(ctx, s.Catalog(), log, file.file, c.host(), c.bucketFlags.settings(log)); err != nil {
		return err
	}
	file.follow(s, log, level, func(ctx context.Context, p *program) error {
		level.Set(p.Worker.level())
		s.SetCache(p.Worker.cache())
		return provisionStores(ctx, s.Catalog(), log, file.file, c.host(), c.bucketFlags.settings(log))
	})
	return s.Run(ctx)
}

// apply sets the options of tasks. Without work, other processes run the tasks.
func (w *workerFlags) apply(o *server.Options, work bool) error {
	if err := w.check(); err != nil {
		return err
	}
	o.Host, o.TimeZone, o.Exports = w.host(), w.TimeZone, w.Exports
	if work {
		o.Queues, _ = w.queues() // checked above
	}
	return nil
}
