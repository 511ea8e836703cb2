package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/declaration"
	"github.com/slideatlas/ptiffstore/internal/server"
)

// listen has hang-ups mean from now on that the file is to be read again. Without a file
// they end the program, as is usual when a terminal is closed.
func (s *siteFile) listen() {
	if s.file != nil {
		s.hups = make(chan os.Signal, 1)
		signal.Notify(s.hups, syscall.SIGHUP)
	}
}

func (s *siteFile) deafen() {
	if s.hups != nil {
		signal.Stop(s.hups)
	}
}

// current is the file as it was read last without fault.
func (s *siteFile) current() *config.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file
}

// again reads the file and parses the command line anew.
func (s *siteFile) again() (*program, *siteFile, error) {
	p, next := &program{}, &siteFile{args: s.args}
	parser := newParser(p, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}), kong.Bind(next))
	ctx, err := parser.Parse(s.args)
	if err != nil {
		return nil, nil, err
	}
	if err := p.check(ctx.Selected().Name); err != nil {
		return nil, nil, err
	}
	next.settings = inForce(ctx, next.file)
	return p, next, nil
}

// adopt takes over from what was read again whatever can be changed while the program
// runs. It returns what that changed, and what would need a restart.
func (s *siteFile) adopt(next *siteFile) (changed, restart []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = next.file
	for i := range s.settings {
		was := &s.settings[i]
		at := slices.IndexFunc(next.settings, func(n setting) bool { return n.Key == was.Key })
		if at < 0 {
			continue
		}
		is := next.settings[at]
		same := reflect.DeepEqual(was.value, is.value)
		switch {
		case was.Live && !same:
			changed = append(changed, fmt.Sprintf("%s: %s → %s", was.Key, cell(was.Value), cell(is.Value)))
			fallthrough
		case same:
			*was = is
		default:
			restart = append(restart, was.Key)
		}
		was.Pending = !same && !was.Live
	}
	return changed, restart
}

// follow has the site's file read again whenever the process is told to, while srv runs,
// and hands what is new to f. A file that is wrong changes nothing.
func (s *siteFile) follow(srv *server.Server, log *slog.Logger, level *slog.LevelVar, f func(context.Context, *program) error) {
	if s.file == nil || s.hups == nil {
		return
	}
	var p *program // what has been read and is not in force yet
	var changed, restart []string
	srv.Background("the site's file", func(ctx context.Context) error {
		if p == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-s.hups:
			}
			fresh, next, err := s.again()
			if err != nil {
				log.Error("the site's file can't be used: going on with what was in force", "err", err)
				return nil
			}
			p = fresh
			changed, restart = s.adopt(next)
		}
		if err := f(ctx, p); err != nil {
			return err
		}
		p = nil
		// After f: whoever waits for this line finds everything done. At any level: who
		// has sent the signal wants to know.
		log.Log(ctx, max(slog.LevelInfo, level.Level()), "the site's file has been read again",
			"changed", strings.Join(changed, "; "), "needs_restart", strings.Join(restart, " "))
		return nil
	})
}

// declare brings the catalog to what the file says of stores. What is wrong with one is
// said in the log, and stops nothing else.
func declare(ctx context.Context, cat *catalog.Catalog, log *slog.Logger, f *config.File, host string) error {
	if f == nil {
		return nil
	}
	o := declaration.Options{Catalog: cat, Host: host, Edit: editDeclared}
	changes, err := declaration.Bring(ctx, o, f)
	for _, c := range changes {
		log := log.With("store", c.ID, "key", "stores."+c.Name)
		switch c.What {
		case declaration.Failed:
			log.Error("store is not as the site's file says", "err", c.Err)
		case declaration.Released:
			log.Warn("store is in the site's file no more: it stays in the catalog, and can be changed and removed there", "remove", "ptiffstore store remove "+c.ID)
		default:
			log.Info("store brought to what the site's file says", "was", c.What, "fields", c.Fields)
		}
	}
	if err != nil {
		return fmt.Errorf("stores of the site's file: %w", err)
	}
	return nil
}
