package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Template is a database that is prepared once for the tests of a package and copied for
// each of them: creating the tables takes longer than most tests.
type Template struct {
	// Prepare creates the tables in the empty database at url and closes it.
	Prepare func(ctx context.Context, url string) error

	sqlite   sync.Once
	file     []byte // of the SQLite database
	fileErr  error
	postgres sync.Once
	name     string // of the PostgreSQL database
	nameErr  error
}

// SQLite returns the URL of a copy of the template as a SQLite database.
func (p *Template) SQLite(t testing.TB) string {
	t.Helper()
	return p.SQLiteAt(t, filepath.Join(t.TempDir(), "catalog.db"))
}

// SQLiteAt is like [Template.SQLite], with the copy in the file at path.
func (p *Template) SQLiteAt(t testing.TB, path string) string {
	t.Helper()
	p.sqlite.Do(func() { p.file, p.fileErr = p.prepareFile() })
	if p.fileErr != nil {
		t.Fatal(p.fileErr)
	}
	if err := os.WriteFile(path, p.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

func (p *Template) prepareFile() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "catalog.db")
	if err := p.Prepare(context.Background(), "sqlite:"+path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path + "-wal"); err == nil {
		return nil, errors.New("pgtest: the template is still open: its log is beside it")
	}
	return os.ReadFile(path)
}

// Postgres returns the URL of a copy of the template as a PostgreSQL database.
func (p *Template) Postgres(t testing.TB) string {
	t.Helper()
	server := sharedServer(t)
	p.postgres.Do(func() { p.nameErr = p.prepareDatabase(server) })
	if p.nameErr != nil {
		t.Fatal(p.nameErr)
	}
	return server.create(t, " TEMPLATE "+p.name)
}

// prepareDatabase creates the database of the template, which exists until the server ends.
func (p *Template) prepareDatabase(s *Server) error {
	p.name = newName()
	if err := s.exec("CREATE DATABASE " + p.name); err != nil {
		return err
	}
	if err := p.Prepare(context.Background(), s.url(p.name)); err != nil {
		return fmt.Errorf("pgtest: template: %w", err)
	}
	return nil
}
