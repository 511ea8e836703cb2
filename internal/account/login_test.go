package account

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestRefuseOIDCUser fails if anything that the provider gave the user outlives the
// refusal, if a grant by an admin ends, or if another user is affected.
func TestRefuseOIDCUser(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		const issuer = "https://idp.example"
		var log bytes.Buffer
		a.o.AuditLog = &log
		provided := must(a.Groups.Add(ctx, Group{Name: "readers", External: "path"}))(t)
		byHand := must(a.Groups.Add(ctx, Group{Name: "by hand"}))(t)
		secrets := map[string][]string{} // session and token by subject
		ids := map[string]string{}
		for _, subject := range []string{"1", "2"} {
			u := must(a.Logins.ByOIDC(ctx, issuer, subject, "user "+subject, ""))(t)
			check(t, a.Groups.SetOIDC(ctx, u.ID, []string{"path"}))
			check(t, a.Groups.AddMember(ctx, byHand.ID, u.ID))
			must(a.Grants.Add(ctx, Grant{User: u.ID, Role: Admin}))(t)
			session, _, err := a.Sessions.Start(ctx, u.ID, "", "")
			check(t, err)
			token, _, err := a.Tokens.Add(ctx, Token{User: u.ID, Scopes: []Scope{ScopeTiles}})
			check(t, err)
			ids[subject], secrets[subject] = u.ID, []string{session, token}
		}
		must(a.Grants.Add(ctx, Grant{Group: provided.ID, Role: Reader}))(t)
		from := must(a.Revocations.Latest(ctx))(t)
		var heard []Revocation
		a.Revocations.Notify(func(v Revocation) { heard = append(heard, v) })

		event := Event{Act: "login", From: "192.0.2.1", Detail: "refused"}
		check(t, a.Logins.RefuseOIDC(ctx, issuer, "1", event))
		check(t, a.Logins.RefuseOIDC(ctx, issuer, "unknown", event))
		check(t, a.Logins.RefuseOIDC(ctx, "https://other.example", "2", event))

		for subject, want := range map[string]error{"1": ErrBadSecret, "2": nil} {
			_, _, err := a.Sessions.Use(ctx, secrets[subject][0])
			checkError(t, "session of "+subject, err, want)
			_, _, err = a.Tokens.Use(ctx, secrets[subject][1])
			checkError(t, "token of "+subject, err, want)
		}
		got := map[string][]string{"1": names(groupsOf(t, a, ids["1"])), "2": names(groupsOf(t, a, ids["2"]))}
		if diff := cmp.Diff(map[string][]string{"1": {"by hand"}, "2": {"by hand", "readers"}}, got); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		if own := must(a.Grants.List(ctx, GrantFilter{User: ids["1"]}))(t); len(own) != 1 {
			t.Errorf("grants of an admin's: %v", own)
		}
		want := []Revocation{{N: from + 1, Kind: RevokeUser, ID: ids["1"]}}
		ignoreTime := cmpopts.IgnoreFields(Revocation{}, "At")
		if diff := cmp.Diff(want, must(a.Revocations.Since(ctx, from))(t), ignoreTime); diff != "" {
			t.Errorf("revocations (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, heard, ignoreTime); diff != "" {
			t.Errorf("revocations of this process (-want +got):\n%s", diff)
		}
		events, _, err := a.Audit.List(ctx, EventFilter{}, "")
		check(t, err)
		wantEvents := []Event{
			{Act: "login", From: "192.0.2.1", Detail: "refused"},
			{Act: "login", From: "192.0.2.1", Detail: "refused"},
			{User: ids["1"], Object: ids["1"], Act: "login", From: "192.0.2.1", Detail: "refused; ended: sessions 1, tokens 1, memberships 1"},
		}
		if diff := cmp.Diff(wantEvents, events, cmpopts.IgnoreFields(Event{}, "N", "At")); diff != "" {
			t.Errorf("audit log (-want +got):\n%s", diff)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 {
			t.Errorf("%d lines in the file of the audit log:\n%s", n, log.String())
		}
	})
}

// TestRefusalIsWhole fails if a refusal that can't be recorded takes effect in part.
func TestRefusalIsWhole(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		ctx := t.Context()
		u := must(a.Logins.ByOIDC(ctx, "https://idp.example", "1", "anna", ""))(t)
		secret, _, err := a.Sessions.Start(ctx, u.ID, "", "")
		check(t, err)
		from := must(a.Revocations.Latest(ctx))(t)
		must(a.write.ExecContext(ctx, `ALTER TABLE audit RENAME TO audit_away`))(t)
		if err := a.Logins.RefuseOIDC(ctx, u.Issuer, u.Subject, Event{Act: "login"}); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("without an audit log: %v", err)
		}
		if _, _, err := a.Sessions.Use(ctx, secret); err != nil {
			t.Errorf("the session has ended: %v", err)
		}
		if n := must(a.Revocations.Latest(ctx))(t); n != from {
			t.Errorf("%d revocations", n-from)
		}
		must(a.write.ExecContext(ctx, `ALTER TABLE audit_away RENAME TO audit`))(t)
		check(t, a.Logins.RefuseOIDC(ctx, u.Issuer, u.Subject, Event{Act: "login"}))
		_, _, err = a.Sessions.Use(ctx, secret)
		checkError(t, "session", err, ErrBadSecret)
	})
}
