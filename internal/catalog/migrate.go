package catalog

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the tables to the newest migration. There is no way back: what a
// newer program has changed, an older one does not understand.
func (c *Catalog) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations/"+c.name)
	if err != nil {
		return err
	}
	return c.migrateTo(ctx, dir)
}

// migrateTo brings the tables to the newest migration of dir.
func (c *Catalog) migrateTo(ctx context.Context, dir fs.FS) error {
	p, err := c.provider(dir)
	if err != nil {
		return c.wrap(err, "migrations")
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	// On SQLite two programs that start at the same time may both begin; the second
	// fails and finds the work done.
	for try := 0; ; try++ {
		has, err := p.GetDBVersion(ctx)
		if err != nil {
			return c.wrap(err, "version of the tables")
		}
		if has > newest {
			return fmt.Errorf("catalog: the database was changed by a newer ptiffstore (its tables are at %d, this one knows %d): use that one, or a backup from before it", has, newest)
		}
		if has == newest {
			return nil
		}
		if _, err := p.Up(Unhurried(ctx)); err != nil && (try == 5 || ctx.Err() != nil) {
			return c.wrap(err, "migration")
		}
	}
}

func (c *Catalog) provider(dir fs.FS) (*goose.Provider, error) {
	if c.name == "sqlite" {
		return goose.NewProvider(database.DialectSQLite3, c.write, dir)
	}
	turns, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(database.DialectPostgres, c.write, dir, goose.WithSessionLocker(turns))
}
