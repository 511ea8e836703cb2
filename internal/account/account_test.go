package account

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// cheap makes tests fast. Another test checks the real cost.
var cheap = PasswordCost{Memory: 64, Passes: 1, Threads: 1}

const password = "correct horse battery"

// A clock advances only when a test advances it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// template is a database with empty tables; each test gets a copy.
var template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	a, err := Open(ctx, url, Options{Password: cheap})
	if err != nil {
		return err
	}
	return a.Close()
}}

// onBoth runs a test on both kinds of database, with empty tables.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Parallel()
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, template.SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, template.Postgres(t))
	})
}

// onEmpty runs a test on both kinds of database, without tables.
func onEmpty(t *testing.T, test func(t *testing.T, url string)) {
	t.Parallel()
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.New(t)) })
}

// open opens the accounts of a database, as a process does.
func open(t testing.TB, url string, c *clock) *Accounts {
	t.Helper()
	a, err := Open(t.Context(), url, Options{Now: c.now, Password: cheap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// withAccounts runs a test with new accounts in both kinds of database.
func withAccounts(t *testing.T, test func(t *testing.T, a *Accounts, c *clock)) {
	t.Helper()
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		test(t, open(t, url, c), c)
	})
}

// must fails the test if there is an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func addUser(t testing.TB, a *Accounts, name string) *User {
	t.Helper()
	return must(a.Users.Add(t.Context(), User{Name: name}, password))(t)
}

func addGroup(t testing.TB, a *Accounts, name string, members ...*User) *Group {
	t.Helper()
	g := must(a.Groups.Add(t.Context(), Group{Name: name}))(t)
	for _, u := range members {
		check(t, a.Groups.AddMember(t.Context(), g.ID, u.ID))
	}
	return g
}

// groupsOf returns the groups of a user, ordered by name.
func groupsOf(t testing.TB, a *Accounts, user string) []Group {
	t.Helper()
	list := []Group{}
	for _, g := range must(a.Groups.List(t.Context()))(t) {
		members := must(a.Groups.Members(t.Context(), g.ID))(t)
		if slices.ContainsFunc(members, func(u User) bool { return u.ID == user }) {
			list = append(list, g)
		}
	}
	return list
}

// edgeBySecret returns the edge server with the key of the secret.
func edgeBySecret(ctx context.Context, a *Accounts, secret string) (*Edge, error) {
	edges, err := a.Edges.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range edges {
		if bytes.Equal(edges[i].Key, EdgeKey(secret)) {
			return &edges[i], nil
		}
	}
	return nil, ErrBadSecret
}

// anywhere reports whether a scope is held for any object.
func anywhere(r Rights, scope Scope) bool {
	return r.Everywhere(scope) || len(r.Stores(scope)) > 0 || len(r.Images(scope)) > 0
}

// TestWhole uses the whole package once: a user logs in, has rights, and loses them.
func TestWhole(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		link, ok, err := a.Bootstrap.Link(ctx)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		root := must(a.Bootstrap.Claim(ctx, link, "root", password))(t)
		if r := must(a.Grants.Rights(ctx, root.ID))(t); !r.Everywhere(ScopeAdmin) {
			t.Errorf("the first admin is not an admin: %+v", r)
		}
		u := addUser(t, a, "Anna")
		g := addGroup(t, a, "Pathologists", u)
		grant := must(a.Grants.Add(ctx, Grant{Group: g.ID, Role: Reader, Store: "s1"}))(t)
		u = must(a.Logins.ByPassword(ctx, "anna", password, "192.0.2.1"))(t)
		secret, _, err := a.Sessions.Start(ctx, u.ID, "192.0.2.1", "Browser/1.0")
		check(t, err)
		if got, _, err := a.Sessions.Use(ctx, secret); err != nil || got.ID != u.ID {
			t.Errorf("session: %v, %v", got, err)
		}
		token, _, err := a.Tokens.Add(ctx, Token{User: u.ID, Label: "script", Scopes: []Scope{ScopeTiles}})
		check(t, err)
		if got, k, err := a.Tokens.Use(ctx, token); err != nil || got.ID != u.ID || k.Label != "script" {
			t.Errorf("token: %v, %v, %v", got, k, err)
		}
		r := must(a.Grants.Rights(ctx, u.ID))(t)
		if !r.Allows("s1", "i1", ScopeLabel) || r.Allows("s2", "i1", ScopeTiles) || r.Within([]Scope{ScopeTiles}).Allows("s1", "", ScopeLabel) {
			t.Errorf("rights %+v", r)
		}
		check(t, a.Grants.Delete(ctx, grant.ID))
		if r := must(a.Grants.Rights(ctx, u.ID))(t); anywhere(r, ScopeTiles) {
			t.Errorf("rights after the grant was removed: %+v", r)
		}
		if keys := must(a.Keys.Ensure(ctx))(t); len(keys) != 1 {
			t.Errorf("%d keys", len(keys))
		}
		edge, e, err := a.Edges.Add(ctx, "https://edge.example/")
		check(t, err)
		if got := must(edgeBySecret(ctx, a, edge))(t); got.ID != e.ID {
			t.Errorf("edge %v", got)
		}
		check(t, a.Audit.Record(ctx, Event{User: u.ID, Act: "login", Allowed: true}))
		if events, next, err := a.Audit.List(ctx, EventFilter{User: u.ID}, ""); err != nil || len(events) != 1 || next != "" {
			t.Errorf("events %v, %q, %v", events, next, err)
		}
	})
}
