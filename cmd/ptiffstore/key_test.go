package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
)

// TestKeyCommands rotates and drops the keys that sign access tokens and links.
func TestKeyCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if list := items(t, o.says("", "key", "list", "--json")); len(list) != 0 {
		t.Errorf("listing the keys has made some: %v", list)
	}
	first := o.says("", "key", "rotate")
	second := o.says("", "key", "rotate")
	if first == "" || first == second {
		t.Fatalf("keys %q, then %q", first, second)
	}
	list := items(t, o.says("", "key", "list", "--json"))
	if len(list) != 2 || list[0]["signs"] != true || list[0]["valid_until"] != nil || list[1]["signs"] != false || list[1]["valid_until"] == nil {
		t.Errorf("keys after a rotation: %v", list)
	}
	text := o.says("", "key", "list")
	for _, words := range []string{"ID", first, second, "signs", "retired, valid until"} {
		if !strings.Contains(text, words) {
			t.Errorf("the list lacks %q:\n%s", words, text)
		}
	}
	third := o.says("", "key", "drop")
	if text := o.says("", "key", "list"); !strings.Contains(text, third) || strings.Contains(text, first) || strings.Contains(text, second) {
		t.Errorf("keys after they were dropped:\n%s", text)
	}
	acts := o.says("", "audit")
	for _, act := range []string{"key.rotate", "key.drop"} {
		if !strings.Contains(acts, act) {
			t.Errorf("the audit log lacks %s:\n%s", act, acts)
		}
	}
}

// TestKeyDroppedWhileServing steals the signing key of a running server and signs links
// and access tokens with it. After the key is dropped the server refuses them within
// seconds, even those that are signed later than that, and accepts those of the new key.
func TestKeyDroppedWhileServing(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": plain})
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-admin-link")
	o.says(goodPassword+"\n", "user", "add", "anna", "--admin")
	header := []string{"Authorization", "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")}
	user := idOf(o.says("", "user", "list", "--json"))
	accounts := o.accounts()
	keys := func() *authz.Keys {
		list, err := accounts.Keys.Ensure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k := new(authz.Keys)
		k.SetSigning(list)
		return k
	}
	var image string
	await(t, "the slide is there", func() bool {
		image = idOf(s.get("/api/v1/images", header...).body)
		return image != ""
	})
	tile := "/api/v1/images/" + image + "/tiles/0/0/0?"
	await(t, "its tiles are there", func() bool { return s.get(tile, header...).status == 200 })

	stolen := keys()
	sign := map[string]func(*authz.Keys) string{
		"link": func(k *authz.Keys) string { return signedLink(t, k, image, user) },
		"pass": func(k *authz.Keys) string { return accessToken(t, k, image, user) },
	}
	for name, query := range sign {
		if a := s.get(tile + query(stolen)); a.status != 200 {
			t.Fatalf("%s signed with the server's key: %d %s, want 200", name, a.status, a.body)
		}
	}
	o.says("", "key", "drop")
	dropped, current := time.Now(), keys()
	for name, query := range sign {
		await(t, name+" signed with a dropped key is refused", func() bool { return s.get(tile+query(stolen)).status == 401 })
		await(t, name+" signed with the new key", func() bool { return s.get(tile+query(current)).status == 200 })
	}
	if took := time.Since(dropped); took > keyDropSeen {
		t.Errorf("the server has seen after %v that keys were dropped, want %v at most", took, keyDropSeen)
	}
}

// keyDropSeen is less than the minute after which the server reads all keys anyway.
const keyDropSeen = 45 * time.Second

// idOf returns the id of the only item of a list, or "".
func idOf(list string) string {
	var page struct{ Items []struct{ ID string } }
	if json.Unmarshal([]byte(list), &page) != nil || len(page.Items) != 1 {
		return ""
	}
	return page.Items[0].ID
}

// signedLink returns the parameters of a link to the tiles of an image, signed now.
func signedLink(t *testing.T, k *authz.Keys, image, user string) string {
	t.Helper()
	now := time.Now()
	query, err := k.SignURL(authz.Link{Image: image, Scope: account.ScopeTiles, User: user, Issued: now, Expires: now.Add(time.Hour).Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	return query.Encode()
}

// accessToken returns the parameter of an access token for the tiles of an image, signed
// now.
func accessToken(t *testing.T, k *authz.Keys, image, user string) string {
	t.Helper()
	now := time.Now()
	text, err := k.SignAccessToken(authz.AccessToken{User: user, Image: image, Scope: account.ScopeTiles, Issued: authz.Date(now), Expires: authz.Date(now.Add(time.Minute))})
	if err != nil {
		t.Fatal(err)
	}
	return "pass=" + text // which has no character to escape
}
