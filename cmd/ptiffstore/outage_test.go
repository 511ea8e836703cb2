package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// TestReadOnlyDatabase makes the database read-only for a while, as during a failover to a
// standby. Writes get 503, tiles are served, /readyz names the failing loops, and the server
// recovers without a restart.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	pg := pgtest.NewServer(t)
	folder := slidesIn(t, map[string]*slideFile{"b.tiff": philips})
	s, dir := serving(t, map[string]*slideFile{"a.tiff": plain}, "--database="+pg.URL, "--store-root="+folder)
	im := s.available("a.tiff")
	readOnly := func(word string) {
		pg.Run(t, "SET transaction_read_only = off; ALTER DATABASE postgres SET default_transaction_read_only = "+word)
		pg.Run(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	}
	body, err := json.Marshal(map[string]string{"label": "b", "mode": "in-place", "root": folder})
	if err != nil {
		t.Fatal(err)
	}
	add := func() answer {
		resp, err := s.client.Post(s.url+"/api/v1/stores", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return answer{status: resp.StatusCode, header: resp.Header}
	}

	readOnly("on")
	s.until("a write is refused for now", func() bool {
		a := add()
		return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
	})
	s.until("it is said that something fails", func() bool { return strings.Contains(s.get("/readyz").body, "degraded") })
	if a := s.get("/readyz"); a.status != http.StatusOK || !strings.Contains(a.body, "the database is unavailable") || strings.Contains(a.body, dir) {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := s.get("/api/v1/images/" + im.ID + "/tiles/0/0/0?v=" + im.Revision); a.status != http.StatusOK {
		t.Errorf("a tile meanwhile: %d", a.status)
	}
	if !strings.Contains(s.log.String(), "background loop failed, trying again") {
		t.Errorf("the log does not say that a loop failed: %s", s.log)
	}

	readOnly("off")
	s.until("a write", func() bool { return add().status == http.StatusCreated })
	s.until("nothing fails", func() bool { return s.get("/readyz").body == "ready\n" })
	s.available("b.tiff")
	deliver(t, philips, filepath.Join(dir, "c.tiff"))
	s.available("c.tiff")
}
