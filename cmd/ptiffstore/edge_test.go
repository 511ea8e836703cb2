package main

import (
	"strings"
	"testing"
)

func TestEdgeCommands(t *testing.T) {
	t.Parallel()
	db := "--data=" + newCatalog(t)
	if secret := done(t, "edge", "add", "https://tiles.example.org", db); len(secret) < 32 {
		t.Errorf("edge add prints %q, want a secret", secret)
	}
	list := decoded[struct{ Items []struct{ ID, URL string } }](t, "edge", "list", db)
	if len(list.Items) != 1 || list.Items[0].URL != "https://tiles.example.org" {
		t.Fatalf("edge list: %+v", list)
	}
	done(t, "edge", "remove", list.Items[0].ID, db)
	if out := done(t, "edge", "list", db); strings.Contains(out, "tiles.example.org") {
		t.Errorf("after edge remove: %s", out)
	}
	for name, args := range map[string][]string{"no URL": {"edge", "add", "tiles", db}, "unknown": {"edge", "remove", "none", db}} {
		if r := command(t, args...); r.code != exitFailure || r.err == "" {
			t.Errorf("%s: %v", name, r)
		}
	}
}
