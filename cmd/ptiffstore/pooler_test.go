package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// TestPooler runs a site through PgBouncer: with sessions everything works, and with shared
// connections every process refuses to start and says what to change.
func TestPooler(t *testing.T) {
	t.Parallel()
	direct := pgtest.New(t)
	shared := "--database=" + pgtest.Pool(t, direct, "transaction")
	const advice = "set pool_mode = session"
	for _, args := range [][]string{{"serve", t.TempDir()}, {"store", "list"}, {"doctor"}} {
		r := command(t, append(args, shared, "--data="+t.TempDir())...)
		if r.code != exitFailure || strings.Count(r.out+r.err, advice) != 1 {
			t.Errorf("%v with a pool of transactions: %v, want %q", args, r, advice)
		}
	}
	if n := tablesOf(t, direct); n != 0 {
		t.Errorf("%d tables were created", n)
	}

	sessions, data := "--database="+pgtest.Pool(t, direct, "session"), "--data="+t.TempDir()
	s, dir := serving(t, map[string]*slideFile{"a.tiff": plain}, sessions, data)
	im := s.available("a.tiff")
	if a := s.get("/api/v1/images/" + im.ID + "/tiles/0/0/0?v=" + im.Revision); a.status != http.StatusOK {
		t.Errorf("a tile: %d", a.status)
	}
	deliver(t, philips, filepath.Join(dir, "b.tiff"))
	s.available("b.tiff")
	s.until("nothing to fix", func() bool {
		r := command(t, "doctor", sessions, data, "--all", "--cache-size=1", "--timeout=1m")
		return r.code == exitOK && strings.Contains(r.out, "through a connection pooler: its pool must allow") && !strings.Contains(r.out, "LISTEN")
	})
	s.stop()
}
