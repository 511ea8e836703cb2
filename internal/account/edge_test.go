package account

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func TestBootstrap(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		link := func() string {
			t.Helper()
			secret, ok, err := a.Bootstrap.Link(ctx)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			return secret
		}
		claim := func(what, secret, name, password string, want error) {
			t.Helper()
			_, err := a.Bootstrap.Claim(ctx, secret, name, password)
			checkError(t, what, err, want)
		}
		old := link()
		c.add(BootstrapLife)
		claim("expired", old, "root", password, ErrBadSecret)
		first, another := link(), link()
		addUser(t, a, "anna")
		claim("unknown", "ptb_x", "root", password, ErrBadSecret)
		claim("empty", "", "root", password, ErrBadSecret)
		claim("short password", first, "root", "short", ErrInvalid)
		claim("no password", first, "root", "", ErrInvalid)
		claim("no name", first, "", password, ErrInvalid)
		claim("name of another", first, "Anna", password, ErrConflict)
		c.add(BootstrapLife - time.Microsecond)
		claim("at last", first, "root", password, nil)
		claim("twice", first, "root2", password, ErrBadSecret)
		claim("another link", another, "root2", password, ErrBadSecret)
		if secret, ok, err := a.Bootstrap.Link(ctx); ok || secret != "" || err != nil {
			t.Errorf("a link though there is an admin: %t, %v", ok, err)
		}
		var links int
		check(t, a.read.QueryRowContext(ctx, `SELECT count(*) FROM bootstrap_links`).Scan(&links))
		if links != 0 {
			t.Errorf("%d links are left, for when there is no admin any more", links)
		}
		u := must(a.Logins.ByPassword(ctx, "root", password, ""))(t)
		if r := must(a.Grants.Rights(ctx, u.ID))(t); !r.Everywhere(ScopeAdmin) {
			t.Error("who came by the link is no admin")
		}
	})
}

// TestBootstrapEnds uses a link after an admin was created in another way.
func TestBootstrapEnds(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		secret, _, err := a.Bootstrap.Link(t.Context())
		check(t, err)
		must(a.Grants.Add(t.Context(), Grant{User: addUser(t, a, "root").ID, Role: Admin}))(t)
		_, err = a.Bootstrap.Claim(t.Context(), secret, "root2", password)
		checkError(t, "link", err, ErrBadSecret)
	})
}

// TestBootstrapTogether uses one link, and two, concurrently in two processes.
func TestBootstrapTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		processes := []*Accounts{open(t, url, c), open(t, url, c)}
		var links []string
		for _, a := range processes {
			secret, _, err := a.Bootstrap.Link(t.Context())
			check(t, err)
			links = append(links, secret, secret)
		}
		results := make(chan error)
		for i, link := range links {
			go func() {
				_, err := processes[i%2].Bootstrap.Claim(t.Context(), link, fmt.Sprint("root", i), password)
				results <- err
			}()
		}
		admins := 0
		for range links {
			if err := <-results; err == nil {
				admins++
			} else {
				checkError(t, "too late", err, ErrBadSecret)
			}
		}
		if admins != 1 {
			t.Errorf("%d admins, want 1", admins)
		}
	})
}

func TestBootstrapBounded(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		var last string
		for range bootstrapMost + 3 {
			c.add(time.Second)
			secret, _, err := a.Bootstrap.Link(t.Context())
			check(t, err)
			last = secret
		}
		var n int
		check(t, a.read.QueryRowContext(t.Context(), `SELECT count(*) FROM bootstrap_links`).Scan(&n))
		if n != bootstrapMost {
			t.Errorf("%d links", n)
		}
		must(a.Bootstrap.Claim(t.Context(), last, "root", password))(t)
	})
}

func TestEdges(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		secret, e, err := a.Edges.Add(ctx, "https://edge.example/slides/")
		check(t, err)
		got := must(edgeBySecret(ctx, a, secret))(t)
		if got.ID != e.ID || got.URL != "https://edge.example/slides/" || !bytes.Equal(got.Key, EdgeKey(secret)) {
			t.Errorf("edge %+v, want %+v", got, e)
		}
		if list := must(a.Edges.List(ctx))(t); len(list) != 1 || list[0].ID != e.ID {
			t.Errorf("edges %+v", list)
		}
		for _, tt := range []struct {
			url  string
			want error
		}{
			{"https://edge.example/slides/", ErrConflict},
			{"http://192.0.2.1:8080", nil},
			{"", ErrInvalid},
			{"edge.example", ErrInvalid},
			{"ftp://edge.example", ErrInvalid},
			{"https://", ErrInvalid},
			{"https://user:word@edge.example", ErrInvalid},
			{"https://edge.example/?a=b", ErrInvalid},
			{"https://edge.example/#a", ErrInvalid},
			{"https://%zz", ErrInvalid},
		} {
			_, _, err := a.Edges.Add(ctx, tt.url)
			checkError(t, tt.url, err, tt.want)
		}
		checkError(t, "unknown", second(edgeBySecret(ctx, a, secret+"x")), ErrBadSecret)
		check(t, a.Edges.Delete(ctx, e.ID))
		checkError(t, "deleted", second(edgeBySecret(ctx, a, secret)), ErrBadSecret)
		checkError(t, "delete twice", a.Edges.Delete(ctx, e.ID), ErrNotFound)
	})
}

func TestSigningKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		a, b := open(t, url, c), open(t, url, c)
		ctx := t.Context()
		keys := func(a *Accounts) []string {
			t.Helper()
			var ids []string
			for i, k := range must(a.Keys.Ensure(ctx))(t) {
				if (k.RetiredAt == nil) != (i == 0) {
					t.Errorf("key %d is retired at %v", i, k.RetiredAt)
				}
				ids = append(ids, k.ID)
			}
			return ids
		}
		results := make(chan []string)
		for _, p := range []*Accounts{a, b, a, b} {
			go func() {
				list, err := p.Keys.Ensure(ctx)
				if err != nil || len(list) != 1 {
					t.Errorf("%d keys, %v", len(list), err)
				}
				results <- []string{fmt.Sprint(list)}
			}()
		}
		first := <-results
		for range 3 {
			if got := <-results; !slices.Equal(got, first) {
				t.Errorf("two processes made two keys: %v, %v", first, got)
			}
		}
		one := keys(a)
		c.add(time.Hour)
		check(t, b.Keys.Rotate(ctx))
		two := keys(a)
		if len(two) != 2 || two[1] != one[0] || two[0] == one[0] {
			t.Errorf("keys after the rotation: %v, before: %v", two, one)
		}
		c.add(7*24*time.Hour - time.Second)
		if got := keys(a); !slices.Equal(got, two) {
			t.Errorf("keys within their life: %v, want %v", got, two)
		}
		c.add(time.Second)
		if got := keys(a); !slices.Equal(got, two[:1]) {
			t.Errorf("keys after that: %v, want %v", got, two[:1])
		}
		check(t, a.Keys.Rotate(ctx))
		check(t, a.Keys.Drop(ctx))
		if got := keys(b); len(got) != 1 || slices.Contains(two, got[0]) {
			t.Errorf("keys after they were dropped: %v", got)
		}
	})
}

func TestKeySigns(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		k, again := must(a.Keys.Ensure(t.Context()))(t)[0], must(a.Keys.Ensure(t.Context()))(t)[0]
		if !ed25519.Verify(again.Public, []byte("pass"), ed25519.Sign(k.Private(), []byte("pass"))) {
			t.Error("the public key does not verify what the private one signed")
		}
		if len(k.URLKey()) != 32 || !bytes.Equal(k.URLKey(), again.URLKey()) || bytes.Equal(k.URLKey(), k.seed) {
			t.Error("the key of URLs is not one of its own")
		}
		for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", &k)} {
			if !strings.Contains(text, "signing key "+k.ID) || strings.Contains(text, fmt.Sprint(k.seed)) {
				t.Errorf("a key in a log: %s", text)
			}
		}
	})
}

// TestBesideCatalog opens the accounts in a catalog's database in several processes
// concurrently.
func TestBesideCatalog(t *testing.T) {
	onEmpty(t, func(t *testing.T, url string) {
		first, err := catalog.Open(t.Context(), url)
		check(t, err)
		defer first.Close()
		results := make(chan error)
		for range 4 {
			go func() {
				results <- func() error {
					c, err := catalog.Open(t.Context(), url)
					if err != nil {
						return err
					}
					a, err := Open(t.Context(), url, Options{Password: cheap})
					if err != nil {
						return errors.Join(err, c.Close())
					}
					return errors.Join(a.Close(), c.Close())
				}()
			}()
		}
		for range 4 {
			check(t, <-results)
		}
	})
}

// TestProcesses changes rights concurrently in two processes: each sees the other's
// changes, and a subscriber misses no revocation.
func TestProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		a, b := open(t, url, c), open(t, url, c)
		const each = 25
		results := make(chan error)
		for i, p := range []*Accounts{a, b, a, b} {
			go func() {
				results <- func() error {
					for n := range each {
						u, err := p.Users.Add(t.Context(), User{Name: fmt.Sprintf("u-%d-%d", i, n)}, "")
						if err != nil {
							return err
						}
						if _, err := p.Grants.Add(t.Context(), Grant{User: u.ID, Role: Viewer}); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
		}
		var seen []int64
		follow := func() {
			after := int64(0)
			if len(seen) > 0 {
				after = seen[len(seen)-1]
			}
			for _, r := range must(b.Revocations.Since(t.Context(), after))(t) {
				seen = append(seen, r.N)
			}
		}
		for done := 0; done < 4; {
			select {
			case err := <-results:
				check(t, err)
				done++
			default:
				follow()
			}
		}
		follow()
		for i, n := range seen {
			if n != int64(i+1) {
				t.Fatalf("revocation %d comes after %d others", n, i)
			}
		}
		if len(seen) != 4*each {
			t.Errorf("%d revocations, want %d", len(seen), 4*each)
		}
	})
}

// TestSeenByOthers fails if a process still uses what another process has revoked.
func TestSeenByOthers(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		a, b := open(t, url, c), open(t, url, c)
		ctx := t.Context()
		u := addUser(t, a, "anna")
		secret, s, err := a.Sessions.Start(ctx, u.ID, "", "")
		check(t, err)
		_, _, err = b.Sessions.Use(ctx, secret)
		check(t, err)
		check(t, a.Sessions.End(ctx, s.ID))
		_, _, err = b.Sessions.Use(ctx, secret)
		checkError(t, "session", err, ErrBadSecret)
		g := must(b.Grants.Add(ctx, Grant{User: u.ID, Role: Viewer}))(t)
		if r := must(a.Grants.Rights(ctx, u.ID))(t); !r.Everywhere(ScopeTiles) {
			t.Error("the grant of another process is not seen")
		}
		check(t, a.Grants.Delete(ctx, g.ID))
		if r := must(b.Grants.Rights(ctx, u.ID))(t); anywhere(r, ScopeTiles) {
			t.Error("that another process has removed the grant is not seen")
		}
	})
}

func TestOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a := must(Open(t.Context(), url, Options{}))(t)
		_, err := a.write.ExecContext(t.Context(), `INSERT INTO account_migrations (version_id, is_applied) VALUES (999, TRUE)`)
		check(t, err)
		check(t, a.Close())
		if _, err := Open(t.Context(), url, Options{}); err == nil || !strings.Contains(err.Error(), "newer ptiffstore") {
			t.Errorf("tables of a newer program: %v", err)
		}
	})
	for _, url := range []string{"", "mysql://x", "sqlite:" + t.TempDir() + "/none/catalog.db"} {
		if _, err := Open(t.Context(), url, Options{}); err == nil {
			t.Errorf("%q was opened", url)
		}
	}
	const word = "hunter22"
	_, err := Open(t.Context(), "postgres://user:"+word+"@127.0.0.1:1/x", Options{})
	if checkError(t, "nobody there", err, ErrAway); err != nil && strings.Contains(err.Error(), word) {
		t.Errorf("the error holds the password: %v", err)
	}
}

// TestCancelled cancels while waiting for a hash; the attempt must not count.
func TestCancelled(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		addUser(t, a, "anna")
		for range hashesAtOnce {
			a.passwords.hashing <- struct{}{}
		}
		for range 8 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for len(a.passwords.waiting) == 0 && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			_, err := a.Logins.ByPassword(ctx, "anna", "not the password", "192.0.2.1")
			cancel()
			checkError(t, "cancelled", err, context.Canceled)
		}
		for range hashesAtOnce {
			<-a.passwords.hashing
		}
		must(a.Logins.ByPassword(t.Context(), "anna", password, "192.0.2.1"))(t)
	})
}
