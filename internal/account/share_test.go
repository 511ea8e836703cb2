package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShares(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		a, err := Open(t.Context(), url, Options{Password: cheap, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		ctx := t.Context()
		anna, err := a.Users.Add(ctx, User{Name: "anna"}, password)
		if err != nil {
			t.Fatal(err)
		}
		share := func(s Share, password string) (string, *Share, error) {
			s.User, s.Kind = anna.ID, ShareSlides
			if s.ExpiresAt.IsZero() {
				s.ExpiresAt = c.now().Add(48 * time.Hour)
			}
			return a.Shares.Add(ctx, s, password)
		}
		for name, s := range map[string]Share{
			"no image":        {},
			"too many":        {Images: make([]string, ShareImages+1)},
			"twice the same":  {Images: []string{"a", "a"}},
			"too short":       {Images: []string{"a"}, ExpiresAt: c.now().Add(30 * time.Minute)},
			"too long":        {Images: []string{"a"}, ExpiresAt: c.now().Add(400 * 24 * time.Hour)},
			"long title":      {Images: []string{"a"}, Title: strings.Repeat("x", 201)},
			"title with line": {Images: []string{"a"}, Title: "a\nb"},
		} {
			if _, _, err := share(s, ""); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		if _, _, err := share(Share{Images: []string{"a"}}, "short"); !errors.Is(err, ErrInvalid) {
			t.Errorf("short password: %v", err)
		}
		secret, made, err := share(Share{Images: []string{"b", "a"}, Title: "Tumour board"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(secret) < 40 {
			t.Errorf("secret %q has less than 128 bits", secret)
		}
		for _, bad := range [][2]string{{made.ID, secret + "x"}, {made.ID, ""}, {made.ID, strings.ToLower(secret)}, {"unknown", secret}, {made.ID, made.ID}} {
			if _, _, err := a.Shares.Open(ctx, bad[0], bad[1], "", "192.0.2.1"); !errors.Is(err, ErrBadSecret) {
				t.Errorf("open %q: %v, want ErrBadSecret", bad, err)
			}
		}
		visit, got, err := a.Shares.Open(ctx, made.ID, secret, "", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(made, got); diff != "" {
			t.Error(diff)
		}
		visited := func(cookie string) []string {
			t.Helper()
			list, err := a.Shares.Visited(ctx, cookie)
			if err != nil {
				t.Fatal(err)
			}
			ids := []string{}
			for i := range list {
				ids = append(ids, list[i].ID)
			}
			return ids
		}
		second, other, err := share(Share{Images: []string{"c"}, Labels: true}, "")
		if err != nil {
			t.Fatal(err)
		}
		visit2, _, err := a.Shares.Open(ctx, other.ID, second, "", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		both := WithVisit(WithVisit("junk."+secret, visit), visit2)
		if diff := cmp.Diff([]string{other.ID, made.ID}, visited(both)); diff != "" {
			t.Errorf("two links in a cookie: %s", diff)
		}
		for _, cookie := range []string{"", "x", secret, visit + "x", "." + visit[:20], strings.Repeat("psv_x.", 1000)} {
			if got := visited(cookie); len(got) != 0 {
				t.Errorf("cookie %q shows %v", cookie, got)
			}
		}
		if err := a.Shares.Viewed(ctx, made.ID); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Shares.Get(ctx, made.ID); err != nil || s.Views != 1 || s.ViewedAt == nil {
			t.Errorf("after a view: %+v, %v", s, err)
		}

		// A link ends with its creator, by revocation, and in time.
		set := func(disabled bool) {
			t.Helper()
			if _, err := a.Users.Update(ctx, anna.ID, func(u *User) error { u.Disabled = disabled; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		set(true)
		if got := visited(both); len(got) != 0 {
			t.Errorf("with its creator disabled: %v", got)
		}
		if _, _, err := a.Shares.Open(ctx, made.ID, secret, "", ""); !errors.Is(err, ErrBadSecret) {
			t.Errorf("open with its creator disabled: %v", err)
		}
		set(false)
		var revoked []Revocation
		a.Revocations.Notify(func(r Revocation) { revoked = append(revoked, r) })
		if err := a.Shares.Revoke(ctx, other.ID); err != nil {
			t.Fatal(err)
		}
		if len(revoked) != 1 || revoked[0].Kind != RevokeSession || revoked[0].ID != other.ID {
			t.Errorf("revocations %v", revoked)
		}
		if diff := cmp.Diff([]string{made.ID}, visited(both)); diff != "" {
			t.Errorf("after a revocation: %s", diff)
		}
		if _, _, err := a.Shares.Open(ctx, other.ID, second, "", ""); !errors.Is(err, ErrBadSecret) {
			t.Errorf("open a revoked link: %v", err)
		}
		if err := a.Shares.Revoke(ctx, "unknown"); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoke an unknown link: %v", err)
		}
		c.add(VisitLife)
		if got := visited(both); len(got) != 0 {
			t.Errorf("after a day: %v", got)
		}
		c.add(VisitLife)
		if _, _, err := a.Shares.Open(ctx, made.ID, secret, "", ""); !errors.Is(err, ErrBadSecret) {
			t.Errorf("open an expired link: %v", err)
		}
		if list, err := a.Shares.List(ctx, anna.ID); err != nil || len(list) != 2 {
			t.Errorf("list: %v, %v", list, err)
		}
		if _, err := a.Users.Add(ctx, User{Name: "admin"}, password); err != nil {
			t.Fatal(err)
		}
		if err := a.Users.Delete(ctx, anna.ID); err != nil {
			t.Fatal(err)
		}
		if list, err := a.Shares.List(ctx, ""); err != nil || len(list) != 0 {
			t.Errorf("list after the user is deleted: %v, %v", list, err)
		}
	})
}

// Guesses of a password are limited for a link, from any address, and for an address, at any
// link.
func TestSharePasswords(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		a, err := Open(t.Context(), url, Options{Password: cheap, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		ctx := t.Context()
		u, err := a.Users.Add(ctx, User{Name: "anna"}, password)
		if err != nil {
			t.Fatal(err)
		}
		add := func() (string, string) {
			t.Helper()
			secret, s, err := a.Shares.Add(ctx, Share{User: u.ID, Kind: ShareSlides, Images: []string{"a"}, ExpiresAt: c.now().Add(time.Hour)}, "open sesame")
			if err != nil {
				t.Fatal(err)
			}
			return s.ID, secret
		}
		id, secret := add()
		open := func(id, secret, password, from string) error {
			_, _, err := a.Shares.Open(ctx, id, secret, password, from)
			return err
		}
		for password, want := range map[string]error{"": ErrPasswordNeeded, "wrong": ErrWrongPassword, "open sesame": nil} {
			if err := open(id, secret, password, "192.0.2.9"); !errors.Is(err, want) {
				t.Errorf("password %q: %v, want %v", password, err, want)
			}
		}
		if err := open(id, "psl_x", "open sesame", "192.0.2.9"); !errors.Is(err, ErrBadSecret) {
			t.Errorf("without the secret: %v", err)
		}
		tries := 0
		for ; tries < 100; tries++ {
			if err := open(id, secret, "guess", fmt.Sprintf("192.0.2.%d", tries)); errors.Is(err, ErrTooMany) {
				break
			}
		}
		if tries < 5 || tries > 15 {
			t.Errorf("%d guesses from different addresses", tries)
		}
		if err := open(id, secret, "open sesame", "198.51.100.1"); !errors.Is(err, ErrTooMany) {
			t.Errorf("the right password at once: %v", err)
		}
		c.add(5 * time.Minute)
		if err := open(id, secret, "open sesame", "198.51.100.1"); err != nil {
			t.Errorf("the right password later: %v", err)
		}
		for tries = 0; tries < 100; tries++ {
			id, secret := add()
			if err := open(id, secret, "guess", "203.0.113.7"); errors.Is(err, ErrTooMany) {
				break
			}
		}
		if tries < 15 || tries > 30 {
			t.Errorf("%d guesses at different links", tries)
		}
	})
}
