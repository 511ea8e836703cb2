package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		addUser(t, a, "Straße")
		must(a.Groups.Add(ctx, Group{Name: "Straße"}))(t)
		for _, tt := range []struct {
			name string
			kept string
			want error
		}{
			{" anna ", "anna", nil},
			{"ANNA", "", ErrConflict},
			{"ａｎｎａ", "", ErrConflict}, // full width
			{"STRASSE", "", ErrConflict},
			{"Anna Maria", "Anna Maria", nil},
			{strings.Repeat("ä", 64), strings.Repeat("ä", 64), nil},
			{strings.Repeat("ä", 65), "", ErrInvalid},
			{"", "", ErrInvalid},
			{"  ", "", ErrInvalid},
			{"an\nna", "", ErrInvalid},
			{"an\u200bna", "", ErrInvalid}, // zero width
			{"\u202eanna", "", ErrInvalid}, // right to left
			{"an\xffna", "", ErrInvalid},
		} {
			u, err := a.Users.Add(ctx, User{Name: tt.name}, "")
			if !errors.Is(err, tt.want) || err == nil && u.Name != tt.kept {
				t.Errorf("user %q: %v, %v, want %q, %v", tt.name, u, err, tt.kept, tt.want)
			}
			g, err := a.Groups.Add(ctx, Group{Name: tt.name})
			if !errors.Is(err, tt.want) || err == nil && g.Name != tt.kept {
				t.Errorf("group %q: %v, %v, want %q, %v", tt.name, g, err, tt.kept, tt.want)
			}
		}
	})
}

func TestUser(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		u := must(a.Users.Add(ctx, User{Name: "Anna", DisplayName: " Dr. Anna "}, password))(t)
		want := &User{ID: u.ID, Name: "Anna", DisplayName: "Dr. Anna", Source: Local, HasPassword: true, CreatedAt: c.now(), UpdatedAt: c.now()}
		compare := func(what string, got *User) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		compare("created", u)
		compare("by id", must(a.Users.Get(ctx, u.ID))(t))
		compare("by name", must(a.Users.ByName(ctx, " aNNa "))(t))
		c.add(time.Minute)
		want.Name, want.DisplayName, want.UpdatedAt = "Anne", "", c.now()
		compare("updated", must(a.Users.Update(ctx, u.ID, func(u *User) error { u.Name, u.DisplayName = "Anne", ""; return nil }))(t))
		compare("by id", must(a.Users.Get(ctx, u.ID))(t))
		boom := errors.New("boom")
		_, err := a.Users.Update(ctx, u.ID, func(*User) error { return boom })
		checkError(t, "edit that fails", err, boom)
		addUser(t, a, "bert")
		_, err = a.Users.Update(ctx, u.ID, func(u *User) error { u.Name = "BERT"; return nil })
		checkError(t, "name of another", err, ErrConflict)
		_, err = a.Users.Update(ctx, u.ID, func(u *User) error { u.DisplayName = "a\x1b[2J"; return nil })
		checkError(t, "display name", err, ErrInvalid)
		compare("after all that failed", must(a.Users.Get(ctx, u.ID))(t))
		check(t, a.Users.Delete(ctx, u.ID))
		for what, err := range map[string]error{
			"deleted":      second(a.Users.Get(ctx, u.ID)),
			"by name":      second(a.Users.ByName(ctx, "Anne")),
			"update":       second(a.Users.Update(ctx, u.ID, func(*User) error { return nil })),
			"delete twice": a.Users.Delete(ctx, u.ID),
			"password":     a.Users.SetPassword(ctx, u.ID, password),
			"session":      third(a.Sessions.Start(ctx, u.ID, "", "")),
			"token":        third(a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}})),
			"grant":        second(a.Grants.Add(ctx, Grant{User: u.ID, Role: Viewer})),
			"oidc groups":  a.Groups.SetOIDC(ctx, u.ID, nil),
		} {
			checkError(t, what, err, ErrNotFound)
		}
	})
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

func TestUsersPaged(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		want := []string{"Anna", "bert", "Carl", "Ödön", "Żaneta"}
		for _, i := range []int{3, 1, 4, 0, 2} {
			addUser(t, a, want[i])
		}
		var got []string
		q := UserQuery{Limit: 2}
		for pages := 1; ; pages++ {
			users, next, err := a.Users.List(t.Context(), q)
			check(t, err)
			for _, u := range users {
				got = append(got, u.Name)
			}
			if q.Cursor = next; next == "" {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("users (-want +got):\n%s", diff)
		}
		_, _, err := a.Users.List(t.Context(), UserQuery{Cursor: "!"})
		checkError(t, "cursor", err, ErrBadCursor)
	})
}

func TestOIDCUser(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		local := addUser(t, a, "anna")
		first := must(a.Logins.ByOIDC(ctx, "https://idp.example", "42", "Anna", "Anna A."))(t)
		if first.ID == local.ID || !strings.HasPrefix(first.Name, "Anna-") || first.Source != OIDC || first.HasPassword {
			t.Errorf("a user of another's name: %+v", first)
		}
		c.add(time.Hour)
		again := must(a.Logins.ByOIDC(ctx, "https://idp.example", "42", "renamed", ""))(t)
		if again.ID != first.ID || !again.LastLoginAt.Equal(c.now()) {
			t.Errorf("again %+v, want %+v", again, first)
		}
		if other := must(a.Logins.ByOIDC(ctx, "https://other.example", "42", "bert", ""))(t); other.ID == first.ID || other.Name != "bert" {
			t.Errorf("the same subject of another issuer: %+v", other)
		}
		if odd := must(a.Logins.ByOIDC(ctx, "https://idp.example", "43", "\x00", ""))(t); !strings.HasPrefix(odd.Name, "user-") {
			t.Errorf("a name that can't be: %+v", odd)
		}
		checkError(t, "password", a.Users.SetPassword(ctx, first.ID, password), ErrInvalid)
		_, err := a.Logins.ByOIDC(ctx, "", "42", "x", "")
		checkError(t, "no issuer", err, ErrInvalid)
		must(a.Users.Update(ctx, first.ID, func(u *User) error { u.Disabled = true; return nil }))(t)
		_, err = a.Logins.ByOIDC(ctx, "https://idp.example", "42", "anna", "")
		checkError(t, "disabled", err, ErrDisabled)
	})
}

func names(groups []Group) []string {
	list := []string{}
	for _, g := range groups {
		list = append(list, g.Name)
	}
	return list
}

func TestGroups(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		anna, bert := addUser(t, a, "anna"), addUser(t, a, "Bert")
		g := addGroup(t, a, "Pathologists", bert, anna)
		check(t, a.Groups.AddMember(ctx, g.ID, anna.ID)) // twice is once
		want := &Group{ID: g.ID, Name: "Pathologists", Members: 2, CreatedAt: c.now()}
		if diff := cmp.Diff(want, must(a.Groups.ByName(ctx, " PATHOLOGISTS"))(t)); diff != "" {
			t.Errorf("group (-want +got):\n%s", diff)
		}
		members := must(a.Groups.Members(ctx, g.ID))(t)
		if len(members) != 2 || members[0].ID != anna.ID || members[1].ID != bert.ID {
			t.Errorf("members %+v", members)
		}
		g = must(a.Groups.Update(ctx, g.ID, func(g *Group) error { g.Name, g.External = "Physicians", "path"; return nil }))(t)
		if diff := cmp.Diff([]Group{*g}, must(a.Groups.List(ctx))(t)); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		check(t, a.Groups.RemoveMember(ctx, g.ID, bert.ID))
		if diff := cmp.Diff([]string{"Physicians"}, names(groupsOf(t, a, anna.ID))); diff != "" {
			t.Errorf("groups of a member (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{}, names(groupsOf(t, a, bert.ID))); diff != "" {
			t.Errorf("groups of a former member (-want +got):\n%s", diff)
		}
		check(t, a.Users.Delete(ctx, anna.ID))
		if g := must(a.Groups.Get(ctx, g.ID))(t); g.Members != 0 {
			t.Errorf("a member was removed, and the group has %d", g.Members)
		}
		check(t, a.Groups.Delete(ctx, g.ID))
		for what, err := range map[string]error{
			"group":         second(a.Groups.Get(ctx, g.ID)),
			"delete twice":  a.Groups.Delete(ctx, g.ID),
			"update":        second(a.Groups.Update(ctx, g.ID, func(*Group) error { return nil })),
			"add member":    a.Groups.AddMember(ctx, g.ID, bert.ID),
			"remove member": a.Groups.RemoveMember(ctx, g.ID, bert.ID),
			"grant":         second(a.Grants.Add(ctx, Grant{Group: g.ID, Role: Viewer})),
		} {
			checkError(t, what, err, ErrNotFound)
		}
	})
}

// TestOIDCGroups fails if a provider can add users to groups without that external name,
// or remove members whom an admin has added.
func TestOIDCGroups(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		u := addUser(t, a, "anna")
		for name, external := range map[string]string{"admins": "", "readers": "slides-read", "writers": "slides-write", "by hand": "hand"} {
			g := must(a.Groups.Add(ctx, Group{Name: name, External: external}))(t)
			if name == "by hand" {
				check(t, a.Groups.AddMember(ctx, g.ID, u.ID))
			}
		}
		for _, tt := range []struct {
			claim   []string
			want    []string
			revoked int64
		}{
			{[]string{"admins", "", "readers", "nowhere"}, []string{"by hand"}, 0},
			{[]string{"slides-read", "hand", "slides-read"}, []string{"by hand", "readers"}, 1},
			{[]string{"slides-read", "hand"}, []string{"by hand", "readers"}, 0},
			{[]string{"slides-write"}, []string{"by hand", "writers"}, 1},
			{[]string{"SLIDES-READ"}, []string{"by hand"}, 1},
			{nil, []string{"by hand"}, 0},
		} {
			before := must(a.Revocations.Latest(ctx))(t)
			check(t, a.Groups.SetOIDC(ctx, u.ID, tt.claim))
			if diff := cmp.Diff(tt.want, names(groupsOf(t, a, u.ID))); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tt.claim, diff)
			}
			if n := must(a.Revocations.Latest(ctx))(t) - before; n != tt.revoked {
				t.Errorf("%q: %d revocations, want %d", tt.claim, n, tt.revoked)
			}
		}
	})
}

func TestSessions(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  []time.Duration // after the one before
		good []bool
	}{
		{"at once", []time.Duration{0}, []bool{true}},
		{"almost idle", []time.Duration{12*time.Hour - time.Second}, []bool{true}},
		{"idle", []time.Duration{12 * time.Hour}, []bool{false}},
		{"used in between", []time.Duration{11 * time.Hour, 11 * time.Hour}, []bool{true, true}},
		{"idle later", []time.Duration{11 * time.Hour, 12 * time.Hour}, []bool{true, false}},
		{"used within a minute, which is not written", []time.Duration{59 * time.Second, 12*time.Hour - 59*time.Second}, []bool{true, false}},
		{
			"used for a week",
			[]time.Duration{11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 11 * time.Hour, 3*time.Hour - time.Second, time.Second},
			[]bool{true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, false},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
				u := addUser(t, a, "anna")
				secret, s, err := a.Sessions.Start(t.Context(), u.ID, "192.0.2.1", "Browser\x1b/1.0")
				check(t, err)
				if s.Agent != "Browser/1.0" {
					t.Errorf("agent %q", s.Agent)
				}
				for i, d := range tt.use {
					c.add(d)
					listed := len(must(a.Sessions.List(t.Context(), u.ID))(t)) == 1
					got, used, err := a.Sessions.Use(t.Context(), secret)
					if listed != tt.good[i] {
						t.Errorf("use %d: listed: %t", i, listed)
					}
					if !tt.good[i] {
						checkError(t, fmt.Sprint("use ", i), err, ErrBadSecret)
						continue
					}
					if err != nil || got.ID != u.ID || used.ID != s.ID {
						t.Errorf("use %d: %v, %v, %v", i, got, used, err)
					}
				}
			})
		})
	}
}

// TestPasswordAndTokens changes a password with and without revoking tokens; other users'
// tokens stay.
func TestPasswordAndTokens(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		u, other := addUser(t, a, "anna"), addUser(t, a, "bert")
		token := func(u *User) string {
			secret, _, err := a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}})
			check(t, err)
			return secret
		}
		first, second, others := token(u), token(u), token(other)
		check(t, a.Users.SetPassword(ctx, u.ID, "another password"))
		for _, secret := range []string{first, second, others} {
			_, _, err := a.Tokens.Use(ctx, secret)
			check(t, err)
		}
		checkError(t, "a bad password", a.Users.SetPasswordRevokingTokens(ctx, u.ID, "short"), ErrInvalid)
		_, _, err := a.Tokens.Use(ctx, first)
		check(t, err)
		check(t, a.Users.SetPasswordRevokingTokens(ctx, u.ID, "yet another password"))
		for _, secret := range []string{first, second} {
			_, _, err := a.Tokens.Use(ctx, secret)
			checkError(t, "token", err, ErrBadSecret)
		}
		_, _, err = a.Tokens.Use(ctx, others)
		check(t, err)
	})
}

func TestSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(a *Accounts, t *testing.T, u *User, s *Session) error{
		"logout": func(a *Accounts, t *testing.T, _ *User, s *Session) error { return a.Sessions.End(t.Context(), s.ID) },
		"all": func(a *Accounts, t *testing.T, u *User, _ *Session) error {
			return a.Sessions.EndAll(t.Context(), u.ID)
		},
		"password": func(a *Accounts, t *testing.T, u *User, _ *Session) error {
			return a.Users.SetPassword(t.Context(), u.ID, "another password")
		},
		"disabled and enabled": func(a *Accounts, t *testing.T, u *User, _ *Session) error {
			for _, off := range []bool{true, false} {
				if _, err := a.Users.Update(t.Context(), u.ID, func(u *User) error { u.Disabled = off; return nil }); err != nil {
					return err
				}
			}
			return nil
		},
		"removed": func(a *Accounts, t *testing.T, u *User, _ *Session) error { return a.Users.Delete(t.Context(), u.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
				ctx := t.Context()
				u, other := addUser(t, a, "anna"), addUser(t, a, "bert")
				secret, s, err := a.Sessions.Start(ctx, u.ID, "", "")
				check(t, err)
				others, _, err := a.Sessions.Start(ctx, other.ID, "", "")
				check(t, err)
				check(t, end(a, t, u, s))
				_, _, err = a.Sessions.Use(ctx, secret)
				checkError(t, "ended", err, ErrBadSecret)
				_, _, err = a.Sessions.Use(ctx, others)
				check(t, err)
				checkError(t, "end twice", a.Sessions.End(ctx, s.ID), ErrNotFound)
				if r := must(a.Revocations.Since(ctx, 0))(t); len(r) == 0 || r[0].ID != u.ID && r[0].ID != s.ID {
					t.Errorf("revocations %+v", r)
				}
			})
		})
	}
}

// TestSessionsBounded logs in many times without keeping the cookie.
func TestSessionsBounded(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		u := addUser(t, a, "anna")
		first, _, err := a.Sessions.Start(t.Context(), u.ID, "", "")
		check(t, err)
		for range sessionsMost {
			c.add(time.Second)
			_, _, err := a.Sessions.Start(t.Context(), u.ID, "", "")
			check(t, err)
		}
		if n := len(must(a.Sessions.List(t.Context(), u.ID))(t)); n != sessionsMost {
			t.Errorf("%d sessions, want %d", n, sessionsMost)
		}
		_, _, err = a.Sessions.Use(t.Context(), first)
		checkError(t, "the oldest", err, ErrBadSecret)
	})
}

func TestTokens(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		u := addUser(t, a, "anna")
		soon := c.now().Add(time.Hour)
		past := c.now()
		for _, tt := range []struct {
			name  string
			token Token
			want  []Scope
			err   error
		}{
			{"tiles", Token{Scopes: []Scope{ScopeTiles}}, []Scope{ScopeTiles}, nil},
			{"label brings tiles", Token{Scopes: []Scope{ScopeLabel}}, []Scope{ScopeTiles, ScopeLabel}, nil},
			{"write alone", Token{Scopes: []Scope{ScopeWrite, ScopeWrite}}, []Scope{ScopeWrite}, nil},
			{"admin brings all", Token{Scopes: []Scope{ScopeAdmin}}, []Scope{ScopeTiles, ScopeLabel, ScopeFile, ScopeWrite, ScopeAdmin}, nil},
			{"expires", Token{Scopes: []Scope{ScopeTiles}, ExpiresAt: &soon, Label: " upload script "}, []Scope{ScopeTiles}, nil},
			{"expired", Token{Scopes: []Scope{ScopeTiles}, ExpiresAt: &past}, nil, ErrInvalid},
			{"no scope", Token{}, nil, ErrInvalid},
			{"unknown scope", Token{Scopes: []Scope{"root"}}, nil, ErrInvalid},
			{"label of two lines", Token{Scopes: []Scope{ScopeTiles}, Label: "a\nb"}, nil, ErrInvalid},
		} {
			tt.token.User = u.ID
			secret, k, err := a.Tokens.Add(ctx, tt.token)
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
			}
			if err != nil {
				continue
			}
			if !strings.HasPrefix(secret, "pts_") || len(secret) != len("pts_")+43 {
				t.Errorf("%s: token of %d characters", tt.name, len(secret))
			}
			owner, used, err := a.Tokens.Use(ctx, secret)
			check(t, err)
			want := &Token{ID: k.ID, User: u.ID, Label: strings.TrimSpace(tt.token.Label), Scopes: tt.want, CreatedAt: c.now(), ExpiresAt: tt.token.ExpiresAt, LastUsedAt: used.LastUsedAt}
			if diff := cmp.Diff(want, used); diff != "" || owner.ID != u.ID || used.LastUsedAt == nil {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			if diff := cmp.Diff(want, must(a.Tokens.Get(ctx, k.ID))(t)); diff != "" {
				t.Errorf("%s, as kept (-want +got):\n%s", tt.name, diff)
			}
		}
		if n := len(must(a.Tokens.List(ctx, u.ID))(t)); n != 5 {
			t.Errorf("%d tokens", n)
		}
		if n := len(must(a.Tokens.List(ctx, "another"))(t)); n != 0 {
			t.Errorf("%d tokens of another", n)
		}
	})
}

func TestTokenEnds(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		u := addUser(t, a, "anna")
		soon := c.now().Add(time.Hour)
		short, _, err := a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}, ExpiresAt: &soon})
		check(t, err)
		long, k, err := a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}})
		check(t, err)
		uses := func(what, secret string, want error) {
			t.Helper()
			_, _, err := a.Tokens.Use(ctx, secret)
			checkError(t, what, err, want)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds the secret", what)
			}
		}
		c.add(time.Hour - time.Microsecond)
		uses("almost expired", short, nil)
		c.add(time.Microsecond)
		uses("expired", short, ErrBadSecret)
		uses("another", long, nil)
		uses("cut", long[:len(long)-1], ErrBadSecret)
		uses("without prefix", strings.TrimPrefix(long, TokenPrefix), ErrBadSecret)
		uses("id", k.ID, ErrBadSecret)
		_, _, err = a.Sessions.Use(ctx, long)
		checkError(t, "token for a session", err, ErrBadSecret)
		for off, want := range map[bool]error{true: ErrBadSecret, false: nil} {
			must(a.Users.Update(ctx, u.ID, func(u *User) error { u.Disabled = off; return nil }))(t)
			uses(fmt.Sprint("disabled ", off), long, want)
		}
		check(t, a.Tokens.Delete(ctx, k.ID))
		uses("deleted", long, ErrBadSecret)
		checkError(t, "delete twice", a.Tokens.Delete(ctx, k.ID), ErrNotFound)
	})
}

// TestNoSecretIsKept fails if the database contains a secret in plain text.
func TestNoSecretIsKept(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		link, _, err := a.Bootstrap.Link(ctx)
		check(t, err)
		u := addUser(t, a, "anna")
		session, _, err := a.Sessions.Start(ctx, u.ID, "", "")
		check(t, err)
		token, _, err := a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}})
		check(t, err)
		edge, _, err := a.Edges.Add(ctx, "https://edge.example")
		check(t, err)
		for _, table := range []string{"users", "sessions", "tokens", "bootstrap_links", "edges", "login_failures", "revocations"} {
			rows, err := a.read.QueryContext(ctx, `SELECT * FROM `+table)
			check(t, err)
			columns, err := rows.Columns()
			check(t, err)
			for rows.Next() {
				row := make([]any, len(columns))
				into := make([]any, len(columns))
				for i := range row {
					into[i] = &row[i]
				}
				check(t, rows.Scan(into...))
				text := fmt.Sprintf("%s", row)
				for _, secret := range []string{password, link, session, token, edge} {
					if strings.Contains(text, secret) || strings.Contains(text, secret[4:]) {
						t.Errorf("table %s holds a secret", table)
					}
				}
			}
			check(t, rows.Close())
		}
	})
}
