package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestShareCommands creates, opens, lists and revokes a link of a running server.
func TestShareCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": plain})
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-admin-link")
	o.says(goodPassword+"\n", "user", "add", "anna", "--admin")
	o.says(goodPassword+"\n", "user", "add", "ben")
	token := o.says("", "token", "add", "--user", "anna", "--scope", "admin")
	var image string
	await(t, "the slide is there", func() bool {
		image = idOf(s.get("/api/v1/images", "Authorization", "Bearer "+token).body)
		return image != ""
	})
	o.refuses("user ben may not see it", "", "share", "create", "--user", "ben", image)
	o.refuses("unknown image", "", "share", "create", "--user", "anna", "nothing")
	o.refuses("give the ids of images, or a case", "", "share", "create", "--user", "anna")
	o.refuses("lasts from 1 hour to 366 days", "", "share", "create", "--user", "anna", image, "--expires", "5m")
	o.refuses("at least 8 characters", "short\n", "share", "create", "--user", "anna", image, "--password-file", "-")
	address := o.says("open sesame\n", "share", "create", "--user", "anna", image, "--title", "Tumour board", "--password-file", "-", "--public-url", "https://slides.example.org/")
	path, secret, _ := strings.Cut(address, "#")
	id := strings.TrimPrefix(path, "https://slides.example.org/share/")
	if id == path || len(secret) < 40 {
		t.Fatalf("address %q", address)
	}
	open := func(want int) {
		t.Helper()
		r, err := http.Post(s.url+"/api/v1/shares/"+id+"/open", "application/json", strings.NewReader(`{"secret":"`+secret+`","password":"open sesame"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("open: %d, want %d", r.StatusCode, want)
		}
	}
	open(200)
	list := o.says("", "share", "list")
	for _, words := range []string{id, "anna", "Tumour board", "yes"} {
		if !strings.Contains(list, words) {
			t.Errorf("the list lacks %q:\n%s", words, list)
		}
	}
	if strings.Contains(list+o.says("", "share", "list", "--json")+o.says("", "audit"), secret) {
		t.Error("a list has the secret")
	}
	o.refuses("unknown share link", "", "share", "revoke", "nothing")
	o.says("", "share", "revoke", id)
	open(404)
	if list := o.says("", "share", "list", "--user", "anna"); !strings.Contains(list, "revoked") {
		t.Errorf("after the revocation:\n%s", list)
	}
}
