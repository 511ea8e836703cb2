package main

import (
	"context"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/server"
)

type tileserverCmd struct {
	serverFlags
}

func (*tileserverCmd) Help() string {
	return "Reads the catalog of --data or --database and follows its changes. Serves tiles, labels, macros and thumbnails, but no pages and no lists.\n\nExample:\n\n  ptiffstore tileserver --database postgres://db/ptiffstore --listen 127.0.0.1:8081"
}

// Run serves tiles until ctx is done.
func (c *tileserverCmd) Run(ctx context.Context, std streams, file *configFile) error {
	if err := c.checkListen(); err != nil {
		return err
	}
	log, level := c.leveled(std.err)
	if err := c.await(ctx, log); err != nil {
		return err
	}
	o, err := c.options(server.TileServer, log)
	if err != nil {
		return err
	}
	o.Started = func(_ context.Context, s *server.Server) error {
		_, err := fmt.Fprintln(std.out, url(s.Addr()))
		return err
	}
	s, err := server.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	file.follow(s, log, level, func(_ context.Context, p *program) error {
		p.Tileserver.serverFlags.apply(s, level)
		return nil
	})
	return s.Run(ctx)
}
