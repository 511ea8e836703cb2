package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// logIn logs in and returns the response and its cookie.
func (g *guardedSite) logIn(name, password string, header ...string) (answer, *http.Cookie) {
	g.t.Helper()
	b, err := json.Marshal(map[string]string{"name": name, "password": password})
	if err != nil {
		g.t.Fatal(err)
	}
	a := g.ask("POST", "/api/v1/auth/login", string(b), header...)
	for _, line := range a.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == authz.CookieName {
			return a, c
		}
	}
	return a, nil
}

func TestLogIn(t *testing.T) {
	g := newGuardedSite(t)
	const session = "/api/v1/auth/session"
	if v := g.json("stranger", session); v["user"] != nil || v["mode"] != "local" || v["admin"] != false {
		t.Errorf("stranger's session %v", v)
	}
	a, c := g.logIn("VIEWER", "correct horse 0")
	if a.status != 200 || c == nil {
		t.Fatalf("log in: %d %s", a.status, a.body)
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v: want HttpOnly, SameSite=Lax, of the whole site, not Secure without TLS", c)
	}
	if strings.Contains(g.log.String(), c.Value) || bytes.Contains(a.body, []byte(c.Value)) {
		t.Error("the session's secret is in the log or the body")
	}
	var v struct{ User struct{ ID, Name string } }
	if err := json.Unmarshal(a.body, &v); err != nil || v.User.ID != g.ids["viewer"] {
		t.Errorf("logged in as %s", a.body)
	}
	// A second login starts a new session and ends the old one.
	_, again := g.logIn("viewer", "correct horse 0", "Cookie", c.Name+"="+c.Value)
	if again.Value == c.Value {
		t.Error("the previous session is still active")
	}
	if a := g.get("/api/v1/stores", "Cookie", c.Name+"="+c.Value); a.status != 401 {
		t.Errorf("with the session of before: %d, want 401", a.status)
	}
	// A session id from another person is not accepted (session fixation).
	if _, fixed := g.logIn("viewer", "correct horse 0", "Cookie", authz.CookieName+"=chosen"); fixed.Value == "chosen" {
		t.Error("the session is one that was brought along")
	}
	out := g.ask("POST", "/api/v1/auth/logout", "", "Cookie", again.Name+"="+again.Value)
	if out.status != 200 || string(out.body) != `{"provider":null}`+"\n" || !strings.Contains(out.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("log out: %d %v", out.status, out.header)
	}
	if a := g.get("/api/v1/stores", "Cookie", again.Name+"="+again.Value); a.status != 401 {
		t.Errorf("after logging out: %d, want 401", a.status)
	}
}

// Responses do not reveal whether a name exists, and guessing is limited.
func TestLogInRefused(t *testing.T) {
	g := newGuardedSite(t)
	wrong, _ := g.logIn("viewer", "wrong horse battery")
	nobody, _ := g.logIn("nobody at all", "wrong horse battery")
	if diff := cmp.Diff(comparable(nobody), comparable(wrong)); diff != "" || wrong.status != 401 {
		t.Errorf("%d (-no such user +wrong password):\n%s", wrong.status, diff)
	}
	limited := answer{}
	for range 10 {
		if limited, _ = g.logIn("viewer", "wrong horse battery"); limited.status == 429 {
			break
		}
	}
	if n, err := strconv.Atoi(limited.header.Get("Retry-After")); limited.status != 429 || err != nil || n < 1 {
		t.Fatalf("after ten attempts: %d, Retry-After %q, want 429", limited.status, limited.header.Get("Retry-After"))
	}
	g.isProblem(limited)
	if a, c := g.logIn("viewer", "correct horse 0"); a.status != 429 || c != nil {
		t.Errorf("with the right password meanwhile: %d, want 429", a.status)
	}
	if a, _ := g.logIn("reader", "correct horse 1"); a.status != 200 {
		t.Errorf("another user: %d %s, want 200", a.status, a.body)
	}
	for _, secret := range []string{"wrong horse battery", "nobody at all"} {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("the log reveals %q", secret)
		}
	}
}

// Pages of other origins can't change anything, nor log users in or out.
func TestOtherOrigins(t *testing.T) {
	g := newGuardedSite(t)
	for _, path := range []string{"/api/v1/auth/login", "/api/v1/auth/logout", "/api/v1/auth/bootstrap", "/api/v1/stores/" + g.store + "/sync", "/api/v1/tokens"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
			if a := g.as("admin", "POST", path, "{}", header...); a.status != 403 {
				t.Errorf("POST %s with %v: %d, want 403", path, header, a.status)
			}
		}
	}
}

// Secure is set for TLS, which only trusted proxies can report.
func TestCookieSecure(t *testing.T) {
	g := newGuardedSite(t)
	forwarded := []string{"X-Forwarded-Proto", "https"}
	if _, c := g.logIn("viewer", "correct horse 0", forwarded...); c.Secure {
		t.Error("a stranger's word makes the cookie Secure")
	}
	proxies := httperr.Proxies{}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := proxies.Add(host); err != nil {
		t.Fatal(err)
	}
	g.api.Access.Proxies = proxies
	if _, c := g.logIn("viewer", "correct horse 0", forwarded...); !c.Secure {
		t.Error("the cookie is not Secure behind TLS")
	}
}

// TestTamperedCredentials fails if a modified credential is accepted.
func TestTamperedCredentials(t *testing.T) {
	g := newGuardedSite(t)
	secret, _, err := g.people.Tokens.Add(t.Context(), account.Token{User: g.ids["reader"], Scopes: []account.Scope{account.ScopeLabel}})
	if err != nil {
		t.Fatal(err)
	}
	image := "/api/v1/images/" + g.slide
	cookie := g.secrets["reader"]
	good := [][]string{{"Cookie", authz.CookieName + "=" + cookie}, {"Authorization", "Bearer " + secret}, {"Authorization", "bearer " + secret}, {"Cookie", "a=b; " + authz.CookieName + "=" + cookie}}
	for _, h := range good {
		if a := g.get(image, h...); a.status != 200 || !bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("%.40s: %d, want 200", h, a.status)
		}
	}
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i]++; b[i] == 'z'+1 {
			b[i] = 'a'
		}
		return string(b)
	}
	var bad [][]string
	for _, s := range []string{flip(cookie, 0), flip(cookie, 10), flip(cookie, len(cookie)-1), cookie[:len(cookie)-1], cookie + "a", "", strings.ToUpper(cookie), secret, g.ids["reader"], "%00", "' OR 1=1 --"} {
		bad = append(bad, []string{"Cookie", authz.CookieName + "=" + s})
	}
	for _, s := range []string{flip(secret, 0), flip(secret, 10), flip(secret, len(secret)-1), secret[:len(secret)-1], secret + "a", cookie, "", "null"} {
		bad = append(bad, []string{"Authorization", "Bearer " + s})
	}
	bad = append(bad, []string{"Authorization", secret}, []string{"Authorization", "Basic " + secret}, []string{"Cookie", "session=" + cookie})
	for _, h := range bad {
		for _, path := range []string{image, image + "/tiles/0/0/0", image + "/preview", "/api/v1/images", "/api/v1/tokens"} {
			if a := g.get(path, h...); a.status != 401 {
				t.Errorf("%v: GET %s: %d %.100s, want 401", h, path, a.status, a.body)
			}
		}
	}
}

// A token can do no more than its scopes, and can't create tokens.
func TestTokens(t *testing.T) {
	g := newGuardedSite(t)
	a := g.as("contributor", "POST", "/api/v1/tokens", `{"label":"robot","scopes":["tiles"]}`)
	var made struct{ ID, Secret string }
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != 201 || made.Secret == "" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("POST tokens: %d %s", a.status, a.body)
	}
	bearer := []string{"Authorization", "Bearer " + made.Secret}
	image := "/api/v1/images/" + g.slide
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", image, "", 200},
		{"GET", image + "/preview", "", 403},
		{"POST", "/api/v1/stores/" + g.store + "/sync", "", 403},
		{"GET", "/api/v1/tokens", "", 403},
		{"POST", "/api/v1/tokens", `{"label":"more","scopes":["label"]}`, 403},
		{"PUT", "/api/v1/users/" + g.ids["contributor"] + "/password", `{"password":"correct horse battery","current":"x"}`, 403},
		{"POST", image + "/sign", "{}", 403},
		{"GET", "/api/v1/users", "", 403},
		{"DELETE", "/api/v1/tokens/" + made.ID, "", 403},
	} {
		if a := g.ask(tt.method, tt.path, tt.body, bearer...); a.status != tt.want {
			t.Errorf("token: %s %s: %d %.100s, want %d", tt.method, tt.path, a.status, a.body, tt.want)
		}
	}
	if a := g.get(image, bearer...); bytes.Contains(a.body, []byte(canary)) {
		t.Error("a token for tiles reads names")
	}
	if a := g.as("contributor", "GET", "/api/v1/tokens", ""); bytes.Contains(a.body, []byte(made.Secret)) || !bytes.Contains(a.body, []byte(made.ID)) {
		t.Errorf("list of tokens: %s", a.body)
	}
	// Not even an admin's token can create another, or it would never end.
	admin, _, err := g.people.Tokens.Add(t.Context(), account.Token{User: g.ids["admin"], Scopes: []account.Scope{account.ScopeAdmin}})
	if err != nil {
		t.Fatal(err)
	}
	if a := g.ask("POST", "/api/v1/tokens", `{"label":"more","scopes":["admin"]}`, "Authorization", "Bearer "+admin); a.status != 403 {
		t.Errorf("a token makes another: %d, want 403", a.status)
	}
	if a := g.get("/api/v1/users", "Authorization", "Bearer "+admin); a.status != 200 {
		t.Errorf("an admin's token lists users: %d, want 200", a.status)
	}
	if a := g.as("viewer", "DELETE", "/api/v1/tokens/"+made.ID, ""); a.status != 403 {
		t.Errorf("another's token: %d, want 403", a.status)
	}
	if a := g.as("contributor", "DELETE", "/api/v1/tokens/"+made.ID, ""); a.status != 204 {
		t.Errorf("one's own token: %d %s, want 204", a.status, a.body)
	}
	if a := g.get(image, bearer...); a.status != 401 {
		t.Errorf("with the token that was removed: %d, want 401", a.status)
	}
}

// A signed link is valid for its image, scope and time, and only for reading.
func TestSignedLinks(t *testing.T) {
	g := newGuardedSite(t)
	sign := func(role, body string) string {
		t.Helper()
		a := g.as(role, "POST", "/api/v1/images/"+g.slide+"/sign", body)
		var v struct{ Query string }
		if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 || v.Query == "" {
			t.Fatalf("sign: %d %s", a.status, a.body)
		}
		return v.Query
	}
	tiles, label := sign("viewer", "{}"), sign("reader", `{"scope":"label","seconds":60}`)
	image := "/api/v1/images/" + g.slide
	for _, tt := range []struct {
		method, path, query string
		want                int
	}{
		{"GET", image + "/tiles/0/0/0", tiles, 200},
		{"GET", image, tiles, 200},
		{"GET", image + "/thumbnail", tiles, 200},
		{"GET", "/dzi/" + g.slide + ".dzi", tiles, 200},
		{"GET", image + "/preview", tiles, 401},
		{"GET", image + "/preview", label, 200},
		{"GET", image + "/associated/label", label, 200},
		{"GET", image + "/tiles/0/0/0", label, 200},
		{"GET", "/api/v1/images/" + g.away, label, 401},
		{"GET", "/api/v1/images/" + g.away + "/tiles/0/0/0", label, 401},
		{"GET", "/api/v1/images", label, 401},
		{"GET", "/api/v1/stores/" + g.store, label, 401},
		{"POST", image + "/sign", label, 401},
		{"DELETE", image, label, 401},
		{"POST", image + "/retry", label, 401},
		{"GET", "/api/v1/tokens", label, 401},
		{"GET", "/api/v1/tasks", label, 401},
		{"GET", "/apiv1/slides", label, 401},
	} {
		if a := g.ask(tt.method, tt.path+"?"+tt.query, ""); a.status != tt.want {
			t.Errorf("%s %s with a link: %d %.100s, want %d", tt.method, tt.path, a.status, a.body, tt.want)
		}
	}
	if a := g.get(image + "?" + tiles); bytes.Contains(a.body, []byte(canary)) {
		t.Error("a link for tiles shows names")
	}
	if a := g.get(image + "?" + label); !bytes.Contains(a.body, []byte(canary)) {
		t.Error("a link for labels shows no names")
	}
	q, err := url.ParseQuery(tiles)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"scope": "label", "exp": strconv.FormatInt(time.Now().Add(23*time.Hour).Unix(), 10), "kid": "other", "sig": q.Get("sig")[:20] + "AAAA" + q.Get("sig")[24:],
	} {
		forged := url.Values{}
		for k := range q {
			forged.Set(k, q.Get(k))
		}
		forged.Set(key, value)
		if a := g.get(image + "/tiles/0/0/0?" + forged.Encode()); a.status != 401 {
			t.Errorf("%s forged: %d, want 401", key, a.status)
		}
	}
	// It ends when its creator loses the right.
	grants, err := g.people.Grants.List(t.Context(), account.GrantFilter{User: g.ids["viewer"]})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.people.Grants.Delete(t.Context(), grants[0].ID); err != nil {
		t.Fatal(err)
	}
	if a := g.get(image + "/tiles/0/0/0?" + tiles); a.status != 401 {
		t.Errorf("after the rights of who gave it: %d, want 401", a.status)
	}
}

// Revoked rights are gone with the next request.
func TestRightsTakenBack(t *testing.T) {
	g := newGuardedSite(t)
	image := "/api/v1/images/" + g.slide
	if a := g.as("reader", "GET", image, ""); a.status != 200 {
		t.Fatalf("reader: %d", a.status)
	}
	var grant string
	for _, v := range g.json("admin", "/api/v1/grants?user="+g.ids["reader"])["items"].([]any) {
		grant = v.(map[string]any)["id"].(string)
	}
	if a := g.as("admin", "DELETE", "/api/v1/grants/"+grant, ""); a.status != 204 {
		t.Fatalf("DELETE grant: %d %s", a.status, a.body)
	}
	for _, path := range []string{image, image + "/tiles/0/0/0", image + "/preview"} {
		if a := g.as("reader", "GET", path, ""); a.status != 403 {
			t.Errorf("GET %s without the grant: %d, want 403", path, a.status)
		}
	}
	// Granted rights are effective at once, too.
	if a := g.as("admin", "POST", "/api/v1/grants", fmt.Sprintf(`{"user":%q,"role":"viewer","image":%q}`, g.ids["reader"], g.slide)); a.status != 201 {
		t.Fatalf("POST grant: %d %s", a.status, a.body)
	}
	if a := g.as("reader", "GET", image, ""); a.status != 200 || bytes.Contains(a.body, []byte(canary)) {
		t.Errorf("with a grant for the image: %d %s", a.status, a.body)
	}
	if a := g.as("admin", "PATCH", "/api/v1/users/"+g.ids["reader"], `{"disabled":true}`); a.status != 200 {
		t.Fatalf("PATCH user: %d %s", a.status, a.body)
	}
	if a := g.as("reader", "GET", image, ""); a.status != 401 {
		t.Errorf("disabled: %d, want 401", a.status)
	}
}

// Actions are in the audit log with user and object, without names.
func TestAudited(t *testing.T) {
	g := newGuardedSite(t)
	image := "/api/v1/images/" + g.slide
	g.logIn(canary, "")
	g.logIn("viewer", "wrong horse battery")
	g.logIn("viewer", "correct horse 0")
	g.as("viewer", "GET", image, "")
	g.as("viewer", "GET", image+"/preview", "")
	g.as("reader", "GET", image, "")
	g.as("reader", "GET", image+"/associated/label", "")
	g.as("reader", "GET", "/thumb/"+g.store+"/"+url.PathEscape(g.name), "")
	g.as("reader", "GET", "/api/v1/images?q=canary", "")
	g.as("contributor", "POST", "/api/v1/stores/"+g.store+"/sync", "")
	g.as("admin", "POST", "/api/v1/groups", `{"name":"readers"}`)
	g.as("admin", "DELETE", image, "")
	type event struct {
		user, act, object string
		allowed           bool
	}
	var got []event
	v := g.json("admin", "/api/v1/audit?limit=100")
	for _, item := range v["items"].([]any) {
		e := item.(map[string]any)
		user, _ := e["user"].(string)
		object, _ := e["object"].(string)
		got = append([]event{{user, e["act"].(string), object, e["allowed"].(bool)}}, got...)
	}
	group := g.json("admin", "/api/v1/groups")["items"].([]any)[0].(map[string]any)["id"].(string)
	reader := g.ids["reader"]
	want := []event{
		{"", "login", "", false}, // no user has that name: it may be a password
		{"", "login", g.ids["viewer"], false},
		{g.ids["viewer"], "login", g.ids["viewer"], true},
		{g.ids["viewer"], "label.show", g.slide, false},
		{reader, "label.show", g.slide, true}, // with all its pictures
		{reader, "label.list", "", true},
		{g.ids["contributor"], "store.sync", g.store, true},
		{g.ids["admin"], "group.add", group, true},
		{g.ids["admin"], "image.delete", g.slide, true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	if b, err := json.Marshal(v); err != nil || bytes.Contains(b, []byte(canary)) {
		t.Errorf("the audit log reveals a name: %s %v", b, err)
	}
}

// Other spellings of a path give no access.
func TestPathTricks(t *testing.T) {
	g := newGuardedSite(t)
	id := g.slide
	for _, role := range []string{"stranger", "outsider"} {
		for _, path := range []string{
			"/api/v1/images/" + id + "/", "//api/v1/images/" + id, "/api/v1//images/" + id, "/api/v1/./images/" + id, "/api/v1/x/../images/" + id, "/docs/../api/v1/images/" + id,
			"/api/v1/images/%2e%2e/images/" + id, "/api/v1/images%2F" + id, "/api/v1/images/" + id + "%00", "/api/v1/images/" + strings.ToUpper(id), "/API/v1/images/" + id,
			"/api/v1/images/" + id + ";x=y", "/api/v1/images/" + id + "%2Fpreview", "/api/v1/images/" + id + "/associated/thumbnail%2F..%2Flabel", "/api/v1/images/" + id + "/associated/LABEL",
			"/api/v1/images/" + id + "/associated/label%20", "/dzi/" + id + ".dzi/", "/dzi/" + id + "_files/8/0_0.jpg/", "/openapi.json/../api/v1/images/" + id, "/docs.js/../../api/v1/images/" + id,
			"/thumb/" + g.store + "/%2E%2E/" + id, "/thumb/" + g.other + "/" + id, "/thumb?db=" + g.other + "&img=" + id, "/thumb?img=" + g.away + "&img=" + id, "/tile?db=" + g.other + "&img=" + id + "&name=t.jpg",
			"/tile?img=" + g.away + "&img=" + id + "&name=t.jpg", "/apiv1/slides/" + id + "/label",
		} {
			for _, method := range []string{"GET", "HEAD", "get", "POST", "PROPFIND"} {
				a := g.as(role, method, path, "")
				switch {
				case a.status == 200 && role == "stranger", bytes.Contains(a.body, []byte(canary)), bytes.Contains(a.body, []byte(`"width"`)):
					t.Errorf("%s: %s %s: %d %.200s", role, method, path, a.status, a.body)
				case a.status == 200 && strings.HasPrefix(a.header.Get("Content-Type"), "image/") && !strings.Contains(path, g.away):
					t.Errorf("%s: %s %s is answered with a picture", role, method, path)
				}
			}
		}
	}
}

// An edge server that uses the site as its central server decides the same for the same
// callers.
func TestCentral(t *testing.T) {
	g := newGuardedSite(t)
	centralServer := g.url
	central, err := authz.NewCentral(authz.CentralOptions{URL: centralServer, Cookie: authz.CookieName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(central.Close)
	gate := authz.NewGate(authz.GateOptions{Authorizer: central})
	edge := *g.api
	edge.Access = &api.Access{Gate: gate, Accounts: g.people, Central: centralServer}
	g.api, g.gate = &edge, gate
	g.serveGuarded()
	if v := g.json("viewer", "/api/v1/auth/session"); v["mode"] != "central" || v["user"].(map[string]any)["id"] != g.ids["viewer"] || v["central"] != centralServer {
		t.Errorf("session %v", v)
	}
	for _, row := range accessTable {
		if strings.Contains(row.route, "/users") || strings.Contains(row.route, "/groups") || strings.Contains(row.route, "/tokens") || strings.Contains(row.route, "/grants") ||
			strings.Contains(row.route, "/auth") || strings.Contains(row.route, "/audit") || strings.Contains(row.route, "/sign") || strings.Contains(row.route, "/shares") {
			continue // of the central server
		}
		method, _, _ := strings.Cut(row.route, " ")
		if row.route == "tiles" {
			method = "GET"
		}
		for i, role := range roles {
			if row.want[i] == 0 {
				continue
			}
			if a := g.as(role, method, g.fillIn(row.path), g.fillIn(row.body)); a.status != row.want[i] {
				t.Errorf("%s: %s %s: %d %.200s, want %d", role, method, row.path, a.status, a.body, row.want[i])
			}
		}
	}
	for _, role := range roles {
		a := g.as(role, "POST", "/api/v1/auth/login", `{"name":"viewer","password":"correct horse 0"}`)
		if a.status != 404 || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: log in at an edge: %d %s, want 404", role, a.status, a.body)
		}
	}
}

// If the central server is unreachable, access is refused, and public tiles are still
// served.
func TestCentralUnreachable(t *testing.T) {
	g := newGuardedSite(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	central, err := authz.NewCentral(authz.CentralOptions{URL: gone.URL, Cookie: authz.CookieName, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(central.Close)
	edge := *g.api
	g.gate = authz.NewGate(authz.GateOptions{Authorizer: central})
	edge.Access = &api.Access{Gate: g.gate, Accounts: g.people, Central: gone.URL}
	g.api = &edge
	g.serveGuarded()
	image := "/api/v1/images/" + g.slide
	for _, path := range []string{image, image + "/tiles/0/0/0", image + "/preview", "/api/v1/images", "/api/v1/stores", "/api/v1/stores/unknown", "/api/v1/tasks", "/api/v1/users", "/api/v1/auth/session"} {
		for _, role := range []string{"admin", "viewer"} {
			a := g.as(role, "GET", path, "")
			if a.status != 503 || a.header.Get("Retry-After") == "" || bytes.Contains(a.body, []byte(canary)) {
				t.Errorf("%s: GET %s: %d %.200s, Retry-After %q; want 503", role, path, a.status, a.body, a.header.Get("Retry-After"))
			}
		}
	}
	for _, path := range []string{"/docs", "/openapi.json"} {
		if a := g.as("admin", "GET", path, ""); a.status != 200 {
			t.Errorf("GET %s: %d, want 200", path, a.status)
		}
	}
}

// TestPasswordRevokesTokens has an admin set another user's password: tokens stay unless
// the request revokes them, which is effective at once.
func TestPasswordRevokesTokens(t *testing.T) {
	g := newGuardedSite(t)
	var made struct{ Secret string }
	if a := g.as("contributor", "POST", "/api/v1/tokens", `{"label":"robot","scopes":["tiles"]}`); json.Unmarshal(a.body, &made) != nil || a.status != 201 {
		t.Fatalf("POST tokens: %d %s", a.status, a.body)
	}
	use := func() int { return g.get("/api/v1/images/"+g.slide, "Authorization", "Bearer "+made.Secret).status }
	for _, tt := range []struct {
		body string
		want int
	}{
		{`{"password":"correct horse battery"}`, 200},
		{`{"password":"correct horse battery","revoke_tokens":false}`, 200},
		{`{"password":"correct horse battery","revoke_tokens":true}`, 401},
	} {
		if got := use(); got != 200 {
			t.Fatalf("the token before: %d", got)
		}
		if a := g.as("admin", "PUT", "/api/v1/users/"+g.ids["contributor"]+"/password", tt.body); a.status != 204 {
			t.Fatalf("PUT password %s: %d %s", tt.body, a.status, a.body)
		}
		if got := use(); got != tt.want {
			t.Errorf("the token after %s: %d, want %d", tt.body, got, tt.want)
		}
	}
}
