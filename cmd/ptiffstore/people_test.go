package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const goodPassword = "correct horse battery"

// An office is a data directory for tests of users and groups.
type office struct {
	t    *testing.T
	data string
}

// newOffice creates a data directory with an empty catalog.
func newOffice(t *testing.T) *office {
	t.Helper()
	return &office{t, newCatalog(t)}
}

// says runs a command that must succeed, and returns what it prints.
func (o *office) says(in string, args ...string) string {
	o.t.Helper()
	r := o.run(in, args...)
	if r.code != exitOK || r.err != "" {
		o.t.Fatalf("%q: %v", args, r)
	}
	return strings.TrimSuffix(r.out, "\n")
}

func (o *office) run(in string, args ...string) result {
	o.t.Helper()
	var out, errs bytes.Buffer
	code := run(o.t.Context(), append(args, "--data", o.data), streams{out: &out, err: &errs, in: strings.NewReader(in)})
	return result{code, out.String(), errs.String()}
}

// refuses runs a command that must fail with that text in its error.
func (o *office) refuses(words, in string, args ...string) {
	o.t.Helper()
	if r := o.run(in, args...); r.code == exitOK || !strings.Contains(r.err, words) || strings.Contains(r.out+r.err, goodPassword) {
		o.t.Errorf("%q: %v, want an error with %q", args, r, words)
	}
}

func (o *office) accounts() *account.Accounts {
	o.t.Helper()
	a, err := account.Open(o.t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"), account.Options{Password: passwordCost})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { a.Close() })
	return a
}

// items decodes a list printed as JSON, without the fields that differ between runs.
func items(t *testing.T, text string) []map[string]any {
	t.Helper()
	var list struct {
		Items []map[string]any `json:"items"`
		Next  *string          `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Items == nil || list.Next != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, item := range list.Items {
		for _, field := range []string{"id", "created_at"} {
			if item[field] == "" || item[field] == nil {
				t.Errorf("%s of %v", field, item)
			}
			delete(item, field)
		}
		delete(item, "updated_at")
	}
	return list.Items
}

func TestUserCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(goodPassword+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna := o.says("", "user", "add", "anna", "--admin", "--password-file", file, "--display-name", "Anna A.")
	o.says(goodPassword, "user", "add", "bert")
	o.says(goodPassword+"\n", "user", "add", "carl", "--password-file", "-")
	o.says("", "user", "add", "robot", "--no-password")
	for _, tt := range []struct {
		words, in string
		args      []string
	}{
		{`user "ANNA" exists already`, goodPassword, []string{"user", "add", "ANNA"}},
		{"fewer than 12 characters", "short\n", []string{"user", "add", "dora"}},
		{"the first line is empty", "", []string{"user", "add", "dora"}},
		{"the first line is empty", "\n" + goodPassword, []string{"user", "add", "dora"}},
		{"more than one line", goodPassword + "\nb\n", []string{"user", "add", "dora"}},
		{"a very long one", strings.Repeat("x", 5000), []string{"user", "add", "dora"}},
		{"no such file", "", []string{"user", "add", "dora", "--password-file", file + ".none"}},
		{"--no-password cannot be combined", "", []string{"user", "add", "dora", "--no-password", "--admin"}},
		{`unknown user "dora"`, "", []string{"user", "set", "dora", "--admin"}},
		{`unknown user "dora"`, "", []string{"user", "remove", "dora"}},
		{`unknown user "dora"`, goodPassword, []string{"user", "password", "dora"}},
		{"this is the last admin", "", []string{"user", "remove", "anna"}},
		{"this is the last admin", "", []string{"user", "set", "anna", "--disabled"}},
		{"this is the last admin", "", []string{"user", "set", anna, "--no-admin"}},
	} {
		o.refuses(tt.words, tt.in, tt.args...)
	}
	want := []map[string]any{
		{"name": "anna", "display_name": "Anna A.", "disabled": false, "source": "local", "has_password": true, "last_login_at": nil},
		{"name": "bert", "display_name": "", "disabled": false, "source": "local", "has_password": true, "last_login_at": nil},
		{"name": "carl", "display_name": "", "disabled": false, "source": "local", "has_password": true, "last_login_at": nil},
		{"name": "robot", "display_name": "", "disabled": false, "source": "local", "has_password": false, "last_login_at": nil},
	}
	if diff := cmp.Diff(want, items(t, o.says("", "user", "list", "--json"))); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	o.says("", "user", "set", "bert", "--disabled", "--name", "berta", "--display-name", "B.")
	o.says("", "user", "set", "carl", "--admin")
	o.says("", "user", "set", "anna", "--no-admin")
	o.says("another password", "user", "password", "anna")
	o.says("", "user", "remove", "robot")
	text := o.says("", "user", "list")
	for _, words := range []string{anna, "Anna A.", "berta", "disabled", "never"} {
		if !strings.Contains(text, words) {
			t.Errorf("the list lacks %q:\n%s", words, text)
		}
	}
	if strings.Contains(text, "robot") {
		t.Errorf("a removed user is in the list:\n%s", text)
	}
	o.checkLogins(map[string]string{"anna": "another password", "carl": goodPassword}, "carl")
	o.checkAudit("user.add user.add user.add user.add user.set user.set user.set user.password user.remove")
}

// checkLogins fails the test if a user cannot log in with the password, or if anyone except
// admin is an admin.
func (o *office) checkLogins(passwords map[string]string, admin string) {
	o.t.Helper()
	a := o.accounts()
	for name, password := range passwords {
		u, err := a.Logins.ByPassword(o.t.Context(), name, password, "")
		if err != nil {
			o.t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := a.Grants.Rights(o.t.Context(), u.ID)
		if err != nil || r.Everywhere(account.ScopeAdmin) != (name == admin) {
			o.t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// checkAudit compares the actions in the audit log.
func (o *office) checkAudit(want string) {
	o.t.Helper()
	events, _, err := o.accounts().Audit.List(o.t.Context(), account.EventFilter{}, "")
	if err != nil {
		o.t.Fatal(err)
	}
	var acts []string
	for i := range events {
		e := events[len(events)-1-i]
		acts = append(acts, e.Act)
		if e.Object == "" || !e.Allowed || e.From != "command line" {
			o.t.Errorf("event %+v", e)
		}
	}
	if diff := cmp.Diff(strings.Fields(want), acts); diff != "" {
		o.t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

func TestGroupCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says("", "user", "add", "anna", "--no-password")
	o.says("", "group", "add", "pathologists")
	o.says("", "group", "add", "students", "--external", "med-students")
	o.says("", "group", "join", "pathologists", "anna")
	o.refuses("the name is taken", "", "group", "add", "Students")
	o.refuses(`unknown group "nurses"`, "", "group", "join", "nurses", "anna")
	o.refuses(`unknown user "bert"`, "", "group", "join", "students", "bert")
	o.refuses("anna is not in the group students", "", "group", "leave", "students", "anna")
	o.says("", "group", "set", "students", "--external", "", "--name", "Pupils")
	want := []map[string]any{
		{"name": "pathologists", "external": "", "members": 1.},
		{"name": "Pupils", "external": "", "members": 0.},
	}
	if diff := cmp.Diff(want, items(t, o.says("", "group", "list", "--json"))); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if text := o.says("", "group", "list"); !strings.Contains(text, "pathologists") || !strings.Contains(text, "Pupils") {
		t.Errorf("groups:\n%s", text)
	}
	if members := items(t, o.says("", "group", "list", "pathologists", "--json")); len(members) != 1 || members[0]["name"] != "anna" {
		t.Errorf("members %v", members)
	}
	if text := o.says("", "group", "list", "pathologists"); !strings.Contains(text, "anna") {
		t.Errorf("members:\n%s", text)
	}
	o.says("", "group", "leave", "pathologists", "anna")
	o.says("", "group", "remove", "pupils")
	if text := o.says("", "group", "list", "pathologists"); strings.Contains(text, "anna") {
		t.Errorf("members:\n%s", text)
	}
	o.checkAudit("user.add group.add group.add group.join group.set group.leave group.remove")
}

func TestTokenCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says("", "user", "add", "robot", "--no-password")
	token := o.says("", "token", "add", "--user", "robot", "--scope", "write", "--scope", "label", "--expires", "90d", "--label", "scanner 1")
	_, k, err := o.accounts().Tokens.Use(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*k.ExpiresAt); left < 89*24*time.Hour || left > 91*24*time.Hour {
		t.Errorf("expires in %v", left)
	}
	var made struct{ Secret, ID string }
	if err := json.Unmarshal([]byte(o.says("", "token", "add", "--user", "robot", "--json")), &made); err != nil || !strings.HasPrefix(made.Secret, "pts_") {
		t.Errorf("token as JSON: %v, %v", made, err)
	}
	for _, args := range [][]string{{"token", "list"}, {"token", "list", "--json"}, {"token", "list", "--user", "robot"}} {
		text := o.says("", args...)
		if strings.Contains(text, token) || strings.Contains(text, made.Secret) || !strings.Contains(text, k.ID) || !strings.Contains(text, made.ID) {
			t.Errorf("%q:\n%s", args, text)
		}
	}
	if text := o.says("", "token", "list"); !strings.Contains(text, "robot") || !strings.Contains(text, "tiles,label,write") || !strings.Contains(text, "scanner 1") {
		t.Errorf("tokens:\n%s", text)
	}
	o.refuses(`unknown user "nobody"`, "", "token", "add", "--user", "nobody")
	o.refuses(`unknown scope "root"`, "", "token", "add", "--user", "robot", "--scope", "root")
	o.refuses("is not a time", "", "token", "add", "--user", "robot", "--expires", "soon")
	o.refuses("expired already", "", "token", "add", "--user", "robot", "--expires", "2020-01-01")
	o.refuses("missing flags: --user", "", "token", "add")
	if r := o.run("", "token", "remove", token); r.code != exitUsage || !strings.Contains(r.err, "use its id") || strings.Contains(r.err, token) {
		t.Errorf("the token for its id: %v", r)
	}
	o.refuses("unknown token", "", "token", "remove", "x")
	o.says("", "token", "remove", k.ID)
	if _, _, err := o.accounts().Tokens.Use(t.Context(), token); err == nil {
		t.Error("a removed token is still good")
	}
	o.says(goodPassword, "user", "add", "anna")
	annas := o.says("", "token", "add", "--user", "anna")
	for _, revoke := range []bool{false, true} {
		args := []string{"user", "password", "anna"}
		if revoke {
			args = append(args, "--revoke-tokens")
		}
		o.says("another password", args...)
		if _, _, err := o.accounts().Tokens.Use(t.Context(), annas); (err != nil) != revoke {
			t.Errorf("a token after %q: %v", args, err)
		}
	}
	if _, _, err := o.accounts().Tokens.Use(t.Context(), made.Secret); err != nil {
		t.Errorf("the token of another: %v", err)
	}
	o.checkAudit("user.add token.add token.add token.remove user.add token.add user.password user.password")
}

func TestParseEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		text string
		want time.Time
		ok   bool
	}{
		{"", time.Time{}, true},
		{"1d", now.AddDate(0, 0, 1), true},
		{"12h30m", now.Add(12*time.Hour + 30*time.Minute), true},
		{"2030-12-31", time.Date(2030, 12, 31, 0, 0, 0, 0, time.Local), true},
		{"2030-12-31T06:00:00Z", time.Date(2030, 12, 31, 6, 0, 0, 0, time.UTC), true},
		{"0d", time.Time{}, false},
		{"-1d", time.Time{}, false},
		{"-1h", time.Time{}, false},
		{"999999999d", time.Time{}, false},
		{"tomorrow", time.Time{}, false},
	} {
		got, err := parseEnd(tt.text, now)
		if (err == nil) != tt.ok || (got != nil) != !tt.want.IsZero() || got != nil && !got.Equal(tt.want) {
			t.Errorf("%q: %v, %v, want %v, %t", tt.text, got, err, tt.want, tt.ok)
		}
	}
}

func TestGrantCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says("", "store", "add", slidesIn(t, nil), "--label", "Scanner 1")
	cat, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	stores, err := cat.Stores.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	anna := o.says("", "user", "add", "anna", "--no-password")
	doctors := o.says("", "group", "add", "doctors")
	first := o.says("", "grant", "add", "--user", "anna", "--role", "contributor", "--store", "Scanner 1")
	if again := o.says("", "grant", "add", "--user", anna, "--role", "contributor", "--store", stores[0].ID); again != first {
		t.Errorf("given twice: %s and %s", first, again)
	}
	o.says("", "grant", "add", "--group", "doctors", "--role", "viewer", "--everything", "--json")
	for _, tt := range []struct {
		words string
		args  string
	}{
		{"use --user or --group", "--role viewer --everything"},
		{"use --store, --image", "--role viewer --user anna"},
		{"missing flags: --role", "--user anna --everything"},
		{"must be one of", "--role owner --user anna --everything"},
		{"can't be used together", "--role viewer --user anna --group doctors --everything"},
		{"can't be used together", "--role viewer --user anna --everything --store x"},
		{`unknown user "bert"`, "--role viewer --user bert --everything"},
		{`unknown group "nurses"`, "--role viewer --group nurses --everything"},
		{`unknown store "x"`, "--role viewer --user anna --store x"},
		{`unknown image "x"`, "--role viewer --user anna --image x"},
	} {
		o.refuses(tt.words, "", append([]string{"grant", "add"}, strings.Fields(tt.args)...)...)
	}
	want := []map[string]any{
		{"user": anna, "role": "contributor", "store": stores[0].ID},
		{"group": doctors, "role": "viewer"},
	}
	if diff := cmp.Diff(want, items(t, o.says("", "grant", "list", "--json"))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:1], items(t, o.says("", "grant", "list", "--store", "Scanner 1", "--json"))); diff != "" {
		t.Errorf("grants of a store (-want +got):\n%s", diff)
	}
	text := o.says("", "grant", "list")
	for _, words := range []string{"anna", "group doctors", "everything", "store " + stores[0].ID + " Scanner 1"} {
		if !strings.Contains(text, words) {
			t.Errorf("the list lacks %q:\n%s", words, text)
		}
	}
	o.says("", "grant", "remove", first)
	o.refuses("unknown grant", "", "grant", "remove", first)
	o.checkAudit("user.add group.add grant.add grant.add grant.add grant.remove")
}

// TestAdminThroughGroup removes a user's own grant: the command reports that the user is
// still an admin through a group.
func TestAdminThroughGroup(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	o.says(goodPassword, "user", "add", "bert", "--admin")
	o.says("", "group", "add", "doctors")
	o.says("", "grant", "add", "--group", "doctors", "--role", "admin", "--everything")
	o.says("", "user", "set", "bert", "--no-admin")
	o.says("", "group", "join", "doctors", "bert")
	r := o.run("", "user", "set", "bert", "--no-admin")
	if r.code != exitOK || !strings.Contains(r.err, "ptiffstore group leave doctors bert") {
		t.Errorf("%v, want the group and what to do", r)
	}
}
