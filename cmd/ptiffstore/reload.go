package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/provision"
	"github.com/slideatlas/ptiffstore/internal/server"
)

// listen makes SIGHUP reload the file. Without a file the signal ends the program, as
// usual.
func (s *configFile) listen() {
	if s.file != nil {
		s.hups = make(chan os.Signal, 1)
		signal.Notify(s.hups, syscall.SIGHUP)
	}
}

// again reads the file and parses the command line again.
func (s *configFile) again() (*program, *configFile, error) {
	p, next := &program{}, &configFile{args: s.args}
	parser := newParser(p, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}), kong.Bind(next))
	ctx, err := parser.Parse(s.args)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(p.check(ctx.Selected().Name)...); err != nil {
		return nil, nil, err
	}
	next.settings = inForce(ctx, next)
	return p, next, nil
}

// adopt takes over the settings of next that can be changed while the program runs. It
// returns these changes, and the keys of changes that need a restart.
func (s *configFile) adopt(next *configFile) (changed, restart []string) {
	s.file = next.file
	for i, is := range next.settings { // of the same flags
		was := s.settings[i]
		switch {
		case reflect.DeepEqual(was.value, is.value):
		case was.Live:
			changed = append(changed, fmt.Sprintf("%s: %s → %s", was.Key, cell(was.Value), cell(is.Value)))
		default:
			restart = append(restart, was.Key)
			continue
		}
		s.settings[i] = is
	}
	return changed, restart
}

// follow reloads the configuration file on SIGHUP and calls f with the new settings, while
// srv runs. An invalid file changes nothing.
func (s *configFile) follow(srv *server.Server, log *slog.Logger, level *slog.LevelVar, f func(context.Context, *program) error) {
	if s.hups == nil {
		return
	}
	var p *program // read, but not in force yet
	var changed, restart []string
	srv.Background("configuration file", func(ctx context.Context) error {
		if p == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-s.hups:
			}
			fresh, next, err := s.again()
			if err != nil {
				log.Error("cannot reload the configuration file; the settings are unchanged", "err", err)
				return nil
			}
			p = fresh
			changed, restart = s.adopt(next)
		}
		if err := f(ctx, p); err != nil {
			return err
		}
		p = nil
		// After f, so that everything is done when the line appears; and at any level,
		// as an answer to the signal.
		log.Log(ctx, max(slog.LevelInfo, level.Level()), "configuration file reloaded",
			"changed", strings.Join(changed, "; "), "needs_restart", strings.Join(restart, " "))
		return nil
	})
}

// provisionStores provisions the stores of the file. A failure of one store is logged, and does not
// stop the others.
func provisionStores(ctx context.Context, cat *catalog.Catalog, log *slog.Logger, f *config.File, host string, buckets bucket.Settings) error {
	if f == nil {
		return nil
	}
	o := provision.Options{Catalog: cat, Host: host, Edit: editProvisioned, Bucket: buckets}
	changes, err := provision.Apply(ctx, o, f)
	for _, c := range changes {
		log := log.With("store", c.ID, "key", "stores."+c.Name)
		switch c.Result {
		case provision.Failed:
			log.Error("cannot provision store", "err", c.Err)
		case provision.Released:
			log.Warn("store is no longer in the configuration file; it stays in the catalog", "remove", "ptiffstore store remove "+c.ID)
		default:
			log.Info("store provisioned", "result", c.Result, "fields", c.Fields)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot provision stores: %w", err)
	}
	return nil
}
