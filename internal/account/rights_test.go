package account

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoles checks the table of what each role holds where.
func TestRoles(t *testing.T) {
	all := []Scope{ScopeTiles, ScopeLabel, ScopeFile, ScopeWrite, ScopeAdmin, "root", ""}
	for _, tt := range []struct {
		role Role
		want []Scope
	}{
		{Viewer, all[:1]},
		{Reader, all[:2]},
		{Downloader, all[:3]},
		{Contributor, []Scope{ScopeTiles, ScopeLabel, ScopeWrite}},
		{Admin, all[:5]},
		{"owner", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(append([]Scope{}, tt.want...), tt.role.Scopes()); diff != "" {
			t.Errorf("scopes of %q (-want +got):\n%s", tt.role, diff)
		}
		everything := RightsOf([]Grant{{Role: tt.role}})
		store := RightsOf([]Grant{{Role: tt.role, Store: "s1"}})
		image := RightsOf([]Grant{{Role: tt.role, Image: "i1"}})
		for _, scope := range all {
			has := slices.Contains(tt.want, scope)
			for _, q := range []struct {
				rights       Rights
				store, image string
				want         bool
			}{
				{everything, "", "", has},
				{everything, "s1", "", has},
				{everything, "s1", "i1", has},
				{store, "", "", false},
				{store, "s1", "", has},
				{store, "s1", "i1", has},
				{store, "s1", "i2", has},
				{store, "s2", "", false},
				{store, "s2", "i1", false},
				{store, "", "i1", false},
				{store, "i1", "s1", false},
				{image, "", "", false},
				{image, "s1", "", false},
				{image, "s1", "i1", has},
				{image, "s2", "i1", has}, // where the image is is not the grant's business
				{image, "s1", "i2", false},
				{image, "i1", "", false},
				{Rights{}, "s1", "i1", false},
				{Rights{}, "", "", false},
			} {
				if got := q.rights.Allows(q.store, q.image, scope); got != q.want {
					t.Errorf("%s: %+v allows %q at store %q, image %q: %t, want %t", tt.role, q.rights, scope, q.store, q.image, got, q.want)
				}
			}
		}
	}
}

func TestWithin(t *testing.T) {
	r := RightsOf([]Grant{{Role: Viewer}, {Role: Contributor, Store: "s1"}, {Role: Admin, Image: "i1"}})
	for _, tt := range []struct {
		scopes []Scope
		want   string // scopes everywhere, at s1, at i1
	}{
		{nil, "[] [] []"},
		{[]Scope{"root"}, "[] [] []"},
		{[]Scope{ScopeTiles}, "[tiles] [tiles] [tiles]"},
		{[]Scope{ScopeLabel}, "[tiles] [tiles label] [tiles label]"},
		{[]Scope{ScopeWrite}, "[] [write] [write]"},
		{[]Scope{ScopeFile}, "[tiles] [tiles label] [tiles label file]"},
		{[]Scope{ScopeAdmin}, "[tiles] [tiles label write] [tiles label file write admin]"},
	} {
		in := r.Within(tt.scopes)
		if got := fmt.Sprint(held(in, "", ""), held(in, "s1", ""), held(in, "", "i1")); got != tt.want {
			t.Errorf("within %q: %s, want %s", tt.scopes, got, tt.want)
		}
	}
	if !r.Allows("s1", "", ScopeWrite) {
		t.Error("the rights themselves have changed")
	}
}

func held(r Rights, store, image string) []Scope {
	list := []Scope{}
	for _, s := range []Scope{ScopeTiles, ScopeLabel, ScopeFile, ScopeWrite, ScopeAdmin} {
		if r.Allows(store, image, s) {
			list = append(list, s)
		}
	}
	return list
}

// TestRightsByGroups gives grants to users and groups, and checks each user's rights.
func TestRightsByGroups(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		anna, bert, carl, root := addUser(t, a, "anna"), addUser(t, a, "bert"), addUser(t, a, "carl"), addUser(t, a, "root")
		doctors, students := addGroup(t, a, "doctors", anna), addGroup(t, a, "students", anna, bert)
		for _, g := range []Grant{
			{Group: doctors.ID, Role: Reader, Store: "s1"},
			{Group: doctors.ID, Role: Viewer, Store: "s2"},
			{Group: students.ID, Role: Viewer, Image: "i7"},
			{User: anna.ID, Role: Contributor, Store: "s2"},
			{User: bert.ID, Role: Viewer, Store: "s3"},
			{User: root.ID, Role: Admin},
		} {
			must(a.Grants.Add(ctx, g))(t)
		}
		type list struct {
			Everywhere     bool
			Stores, Images []string
		}
		wants := func(what string, u *User, scope Scope, want list) {
			t.Helper()
			r := must(a.Grants.Rights(ctx, u.ID))(t)
			if diff := cmp.Diff(want, list{r.Everywhere(scope), r.Stores(scope), r.Images(scope)}); diff != "" {
				t.Errorf("%s: %s of %s (-want +got):\n%s", what, scope, u.Name, diff)
			}
			if any := want.Everywhere || len(want.Stores)+len(want.Images) > 0; anywhere(r, scope) != any {
				t.Errorf("%s: %s of %s anywhere: %t", what, scope, u.Name, !any)
			}
		}
		none := list{false, []string{}, []string{}}
		wants("at first", anna, ScopeTiles, list{false, []string{"s1", "s2"}, []string{"i7"}})
		wants("at first", anna, ScopeLabel, list{false, []string{"s1", "s2"}, []string{}})
		wants("at first", anna, ScopeWrite, list{false, []string{"s2"}, []string{}})
		wants("at first", anna, ScopeAdmin, none)
		wants("at first", bert, ScopeTiles, list{false, []string{"s3"}, []string{"i7"}})
		wants("at first", bert, ScopeLabel, none)
		wants("at first", carl, ScopeTiles, none)
		wants("at first", root, ScopeAdmin, list{true, []string{}, []string{}})
		wants("nobody", &User{ID: "nobody"}, ScopeTiles, none)
		check(t, a.Groups.RemoveMember(ctx, doctors.ID, anna.ID))
		wants("out of a group", anna, ScopeLabel, list{false, []string{"s2"}, []string{}})
		check(t, a.Groups.Delete(ctx, students.ID))
		if left := must(a.Grants.List(ctx, GrantFilter{Group: students.ID}))(t); len(left) != 0 {
			t.Errorf("grants of a group that was deleted: %+v", left)
		}
		wants("without the group", bert, ScopeTiles, list{false, []string{"s3"}, []string{}})
		must(a.Users.Update(ctx, anna.ID, func(u *User) error { u.Disabled = true; return nil }))(t)
		wants("disabled", anna, ScopeTiles, none)
		must(a.Users.Update(ctx, anna.ID, func(u *User) error { u.Disabled = false; return nil }))(t)
		wants("enabled", anna, ScopeTiles, list{false, []string{"s2"}, []string{}})
	})
}

func TestGrants(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		u := addUser(t, a, "anna")
		g := addGroup(t, a, "doctors")
		for _, tt := range []struct {
			name  string
			grant Grant
			want  error
		}{
			{"nobody", Grant{Role: Viewer, Store: "s1"}, ErrInvalid},
			{"user and group", Grant{User: u.ID, Group: g.ID, Role: Viewer}, ErrInvalid},
			{"store and image", Grant{User: u.ID, Role: Viewer, Store: "s1", Image: "i1"}, ErrInvalid},
			{"no role", Grant{User: u.ID, Store: "s1"}, ErrInvalid},
			{"unknown role", Grant{User: u.ID, Role: "owner", Store: "s1"}, ErrInvalid},
			{"unknown user", Grant{User: "x", Role: Viewer, Store: "s1"}, ErrNotFound},
			{"group for a user", Grant{User: g.ID, Role: Viewer, Store: "s1"}, ErrNotFound},
			{"store", Grant{User: u.ID, Role: Viewer, Store: "s1"}, nil},
			{"image", Grant{Group: g.ID, Role: Viewer, Image: "i1"}, nil},
			{"everything", Grant{User: u.ID, Role: Reader}, nil},
		} {
			made, err := a.Grants.Add(ctx, tt.grant)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
			if err != nil {
				continue
			}
			want := tt.grant
			want.ID, want.CreatedAt = made.ID, c.now()
			if diff := cmp.Diff(&want, must(a.Grants.Get(ctx, made.ID))(t)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			n := must(a.Revocations.Latest(ctx))(t)
			if again := must(a.Grants.Add(ctx, tt.grant))(t); again.ID != made.ID {
				t.Errorf("%s: given twice: %+v and %+v", tt.name, made, again)
			}
			if must(a.Revocations.Latest(ctx))(t) != n {
				t.Errorf("%s: adding an existing object revoked something", tt.name)
			}
		}
		for _, tt := range []struct {
			filter GrantFilter
			want   int
		}{
			{GrantFilter{}, 3},
			{GrantFilter{User: u.ID}, 2},
			{GrantFilter{Group: g.ID}, 1},
			{GrantFilter{Store: "s1"}, 1},
			{GrantFilter{Image: "i1"}, 1},
			{GrantFilter{User: u.ID, Image: "i1"}, 0},
		} {
			if n := len(must(a.Grants.List(ctx, tt.filter))(t)); n != tt.want {
				t.Errorf("%+v: %d grants, want %d", tt.filter, n, tt.want)
			}
		}
		checkError(t, "no such grant", a.Grants.Delete(ctx, "x"), ErrNotFound)
	})
}

// TestLastAdmin tries to remove the last admin in every possible way.
func TestLastAdmin(t *testing.T) {
	type site struct {
		a         *Accounts
		root      *User
		group     *Group
		own, ours *Grant
	}
	ways := map[string]func(t *testing.T, s *site) error{
		"grant":    func(t *testing.T, s *site) error { return s.a.Grants.Delete(t.Context(), s.own.ID) },
		"remove":   func(t *testing.T, s *site) error { return s.a.Users.Delete(t.Context(), s.root.ID) },
		"password": func(t *testing.T, s *site) error { return s.a.Users.SetPassword(t.Context(), s.root.ID, "") },
		"disable": func(t *testing.T, s *site) error {
			_, err := s.a.Users.Update(t.Context(), s.root.ID, func(u *User) error { u.Disabled = true; return nil })
			return err
		},
	}
	byGroup := map[string]func(t *testing.T, s *site) error{
		"remove":       ways["remove"],
		"disable":      ways["disable"],
		"grant":        func(t *testing.T, s *site) error { return s.a.Grants.Delete(t.Context(), s.ours.ID) },
		"delete group": func(t *testing.T, s *site) error { return s.a.Groups.Delete(t.Context(), s.group.ID) },
		"leave":        func(t *testing.T, s *site) error { return s.a.Groups.RemoveMember(t.Context(), s.group.ID, s.root.ID) },
	}
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		s := &site{a: a, root: addUser(t, a, "root")}
		if must(hasAdmin(ctx, a.read))(t) {
			t.Error("a user without grants is an admin")
		}
		must(a.Grants.Add(ctx, Grant{User: s.root.ID, Role: Admin, Store: "s1"}))(t)
		must(a.Grants.Add(ctx, Grant{User: s.root.ID, Role: Contributor}))(t)
		silent := must(a.Users.Add(ctx, User{Name: "silent"}, ""))(t)
		must(a.Grants.Add(ctx, Grant{User: silent.ID, Role: Admin}))(t)
		if must(hasAdmin(ctx, a.read))(t) {
			t.Error("the admin of a store, or an admin who can't log in, is an admin of everything")
		}
		s.own = must(a.Grants.Add(ctx, Grant{User: s.root.ID, Role: Admin}))(t)
		all := func(what string, ways map[string]func(*testing.T, *site) error) {
			for name, way := range ways {
				before := must(a.Revocations.Latest(ctx))(t)
				checkError(t, what+" "+name, way(t, s), ErrLastAdmin)
				if !must(hasAdmin(ctx, a.read))(t) || must(a.Revocations.Latest(ctx))(t) != before {
					t.Fatalf("%s %s: done nevertheless", what, name)
				}
			}
		}
		all("own", ways)
		s.group = addGroup(t, a, "admins", s.root)
		s.ours = must(a.Grants.Add(ctx, Grant{Group: s.group.ID, Role: Admin}))(t)
		check(t, a.Grants.Delete(ctx, s.own.ID)) // the group's is left
		all("by group", byGroup)
		check(t, a.Users.SetPassword(ctx, s.root.ID, "another password")) // is no loss
		other := must(a.Logins.ByOIDC(ctx, "https://idp.example", "1", "other", ""))(t)
		must(a.Grants.Add(ctx, Grant{User: other.ID, Role: Admin}))(t)
		check(t, a.Users.Delete(ctx, s.root.ID))
	})
}

// TestRevocations makes every change of rights, and checks the revocations that it adds.
func TestRevocations(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		anna, bert, big := addUser(t, a, "anna"), addUser(t, a, "bert"), addGroup(t, a, "big")
		group := addGroup(t, a, "group", anna)
		for i := range groupMost + 1 {
			u := must(a.Users.Add(ctx, User{Name: fmt.Sprint("u", i)}, ""))(t)
			check(t, a.Groups.AddMember(ctx, big.ID, u.ID))
		}
		grants := map[string]*Grant{}
		grant := func(g Grant) func() error {
			return func() (err error) {
				grants[g.User+g.Group], err = a.Grants.Add(ctx, g)
				return err
			}
		}
		ungrant := func(subject string) func() error {
			return func() error { return a.Grants.Delete(ctx, grants[subject].ID) }
		}
		_, k, err := a.Tokens.Add(ctx, Token{User: anna.ID, Scopes: []Scope{ScopeTiles}})
		check(t, err)
		_, s, err := a.Sessions.Start(ctx, anna.ID, "", "")
		check(t, err)
		disable := func(off bool) func() error {
			return func() error {
				return second(a.Users.Update(ctx, bert.ID, func(u *User) error { u.Disabled = off; return nil }))
			}
		}
		type r = Revocation
		user := func(u *User) []r { return []r{{Kind: RevokeUser, ID: u.ID}} }
		var heard []Revocation
		a.Revocations.Notify(func(v Revocation) { heard = append(heard, v) })
		for _, step := range []struct {
			name string
			do   func() error
			want []r
		}{
			{"grant to a user", grant(Grant{User: bert.ID, Role: Viewer, Store: "s1"}), user(bert)},
			{"grant removed", ungrant(bert.ID), user(bert)},
			{"grant to a group", grant(Grant{Group: group.ID, Role: Viewer, Store: "s1"}), user(anna)},
			{"member added", func() error { return a.Groups.AddMember(ctx, group.ID, bert.ID) }, user(bert)},
			{"member there already", func() error { return a.Groups.AddMember(ctx, group.ID, bert.ID) }, nil},
			{"member removed", func() error { return a.Groups.RemoveMember(ctx, group.ID, bert.ID) }, user(bert)},
			{"grant of a group removed", ungrant(group.ID), user(anna)},
			{"grant to a big group", grant(Grant{Group: big.ID, Role: Viewer}), []r{{Kind: RevokeAll}}},
			{"group deleted", func() error { return a.Groups.Delete(ctx, group.ID) }, user(anna)},
			{"disabled", disable(true), user(bert)},
			{"disabled again", disable(true), nil},
			{"enabled", disable(false), user(bert)},
			{"renamed", func() error {
				return second(a.Users.Update(ctx, bert.ID, func(u *User) error { u.Name = "bertha"; return nil }))
			}, nil},
			{"password", func() error { return a.Users.SetPassword(ctx, bert.ID, "another password") }, user(bert)},
			{"token", func() error { return a.Tokens.Delete(ctx, k.ID) }, []r{{Kind: RevokeToken, ID: k.ID}}},
			{"session", func() error { return a.Sessions.End(ctx, s.ID) }, []r{{Kind: RevokeSession, ID: s.ID}}},
			{"user removed", func() error { return a.Users.Delete(ctx, bert.ID) }, user(bert)},
			{"image", func() error { return second(a.Revocations.Add(ctx, RevokeImage, "i1")) }, []r{{Kind: RevokeImage, ID: "i1"}}},
			{"store", func() error { return second(a.Revocations.Add(ctx, RevokeStore, "s1")) }, []r{{Kind: RevokeStore, ID: "s1"}}},
			{"all", func() error { return second(a.Revocations.Add(ctx, RevokeAll, "")) }, []r{{Kind: RevokeAll}}},
			{"keys dropped", func() error { return a.Keys.Drop(ctx) }, []r{{Kind: RevokeAll}}},
			{"keys rotated", func() error { return a.Keys.Rotate(ctx) }, nil},
		} {
			before := must(a.Revocations.Latest(ctx))(t)
			heard = nil
			c.add(time.Second)
			check(t, step.do())
			for i := range step.want {
				step.want[i].N, step.want[i].At = before+1+int64(i), c.now()
			}
			if diff := cmp.Diff(append([]r{}, step.want...), must(a.Revocations.Since(ctx, before))(t)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, diff)
			}
			if diff := cmp.Diff(step.want, heard); diff != "" {
				t.Errorf("%s, as notified (-want +got):\n%s", step.name, diff)
			}
		}
		for _, v := range []Revocation{{Kind: RevokeUser}, {Kind: RevokeAll, ID: "x"}, {Kind: "group", ID: "x"}, {}} {
			_, err := a.Revocations.Add(ctx, v.Kind, v.ID)
			checkError(t, fmt.Sprintf("%+v", v), err, ErrInvalid)
		}
	})
}
