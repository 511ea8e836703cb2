package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// A campus is a central server and two hosts with slide scanners, each with slides on its
// own disk, at the same path.
type campus struct {
	*running // the central server, with the login of a user
	central  *host
	scanner  [2]*host
	db       *pgtest.Server
	office   *office
	stores   [2]string // ids
	mount    string
}

// openCampus starts PostgreSQL and the central server on one host, and a tile server and a
// worker on each of the others.
func openCampus(t *testing.T) *campus {
	t.Helper()
	c := &campus{office: newOffice(t), mount: filepath.Join(t.TempDir(), "slides")}
	if err := os.Mkdir(c.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	const main = "10.77.0.1"
	c.central = newHost(t, "central", c.mount)
	c.central.ip("addr add " + main + "/32 dev lo")
	for i, name := range []string{"scanner-a", "scanner-b"} {
		c.scanner[i] = newHost(t, name, c.mount)
		c.central.connect(c.scanner[i], fmt.Sprintf("to%d", i), fmt.Sprintf("10.77.%d", i+1))
	}
	err := c.central.do(func() (err error) {
		c.db, err = pgtest.StartAt(main)
		return err
	})
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.db.Close() })

	here, there := "--database="+c.db.URL, "--database="+c.db.URLAt()
	createCatalog(t, &databaseFlags{Database: c.db.URL})
	for _, name := range []string{"anna", "carl"} {
		c.office.says(goodPassword, "user", "add", name, here)
	}
	c.office.says("", "user", "set", "anna", "--admin", here)
	c.office.says("", "grant", "add", "--user", "carl", "--role", "reader", "--everything", here)
	for i, h := range c.scanner {
		endpoint := "http://" + h.addr + ":8081"
		secret := filepath.Join(h.disk, "..", h.name+".secret")
		if err := os.WriteFile(secret, []byte(c.office.says("", "edge", "add", endpoint, here)), 0o600); err != nil {
			t.Fatal(err)
		}
		c.stores[i] = h.run("store", "add", c.mount, there, "--label", "Scanner "+h.name, "--host", h.name, "--endpoint", endpoint)
		h.launch("worker", there, "--queue", "default=1", "--queue", "host-"+h.name)
		defer h.launch("tileserver", there, "--listen", h.addr+":8081", "--auth", "central", "--central", "http://"+main+":8080", "--insecure-no-auth",
			"--edge-secret-file", secret, "--cors-origin", "http://"+main+":8080")
	}
	c.running = c.central.launch("serve", there, "--listen", main+":8080", "--auth", "local", "--no-worker").running
	return c
}

// login logs a user in and returns the cookie.
func (c *campus) login(name string) []string {
	c.t.Helper()
	resp, err := c.client.Post(c.url+"/api/v1/auth/login", "application/json", strings.NewReader(`{"name":"`+name+`","password":"`+goodPassword+`"}`))
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	if len(resp.Cookies()) == 0 {
		c.t.Fatalf("no cookie with status %d", resp.StatusCode)
	}
	return []string{"Cookie", resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value}
}

// A hostedStore has the fields of a store that these tests read.
type hostedStore struct {
	ID           string
	HostAway     *bool   `json:"host_away"`
	HostSeen     *string `json:"host_seen_at"`
	EndpointAway *bool   `json:"endpoint_away"`
}

// listed decodes a list of the API.
func listed[T any](c *campus, path string, login []string) []T {
	c.t.Helper()
	var page struct{ Items []T }
	if a := c.get(path, login...); json.Unmarshal([]byte(a.body), &page) != nil || a.status != http.StatusOK {
		c.t.Fatalf("%s: status %d: %s", path, a.status, a.body)
	}
	return page.Items
}

// away waits until the store of slide scanner i is, or is not, shown with its host and tile
// server unreachable, and the other store with both reachable.
func (c *campus) away(login []string, i int, want bool) {
	c.t.Helper()
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	c.wait(fmt.Sprintf("%s away: %v", c.scanner[i].name, want), func() bool {
		n := 0
		for _, s := range listed[hostedStore](c, "/api/v1/stores", login) {
			want := want && s.ID == c.stores[i]
			if is(s.HostAway, want) && is(s.EndpointAway, want) && s.HostSeen != nil {
				n++
			}
		}
		return n == 2
	})
}

func (c *campus) wait(what string, f func() bool) {
	c.t.Helper()
	for began := time.Now(); !f(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > 3*time.Minute {
			c.t.Fatalf("%s: not within 3 minutes", what)
		}
	}
}

// elsewhere requests a full URL as a browser without cookies does.
func (c *campus) elsewhere(url string) (answer, error) {
	s := &running{t: c.t, client: c.client, url: url}
	resp, err := c.client.Get(url)
	if err != nil {
		return answer{}, err
	}
	resp.Body.Close()
	return s.get(""), nil
}

func tileAt(im imageJSON, z, x, y int) string {
	return strings.NewReplacer("{z}", fmt.Sprint(z), "{x}", fmt.Sprint(x), "{y}", fmt.Sprint(y)).Replace(*im.TileURL)
}

// TestHostCutOff disconnects one of two hosts with slides from the central server, which
// runs on a third host and cannot read their files.
func TestHostCutOff(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	anna, carl := c.login("anna"), c.login("carl")
	for i, f := range []*slideFile{philips, plain} {
		deliver(t, f, filepath.Join(c.scanner[i].disk, c.scanner[i].name+".tiff"))
	}
	slides := func(login []string) map[string]imageJSON {
		m := map[string]imageJSON{}
		for _, im := range listed[imageJSON](c, "/api/v1/images", login) {
			m[im.FileName] = im
		}
		return m
	}
	var seen map[string]imageJSON
	c.wait("both slides in the central server's gallery", func() bool {
		seen = slides(carl)
		return seen["scanner-a.tiff"].State == "available" && seen["scanner-b.tiff"].State == "available"
	})
	c.away(anna, 0, false)
	for i, f := range []*slideFile{philips, plain} {
		h, im := c.scanner[i], seen[c.scanner[i].name+".tiff"]
		url := tileAt(im, *im.MaxZoom, 0, 0)
		if !strings.HasPrefix(url, "http://"+h.addr+":8081/") || !strings.Contains(url, "pass=") || im.Store != c.stores[i] {
			t.Fatalf("the tiles of %s are at %s of store %s, want its own endpoint, with a pass", h.name, url, im.Store)
		}
		var a answer
		c.wait("a tile of "+h.name, func() (ok bool) {
			var err error
			a, err = c.elsewhere(url)
			return err == nil && a.status == http.StatusOK
		})
		sameTile(t, "from "+h.name, a, f, 0, 0, 0)
		bare, _, _ := strings.Cut(url, "&pass=")
		if a, err := c.elsewhere(bare); err != nil || a.status != http.StatusUnauthorized {
			t.Errorf("without a pass: status %d, %v", a.status, err)
		}
		for _, path := range []string{
			"/api/v1/images/{image}/thumbnail?width=200", "/api/v1/images/{image}/preview", "/api/v1/images/{image}/tiles/0/0/0.jpg", "/api/v1/images/{image}/tiles/t.jpg",
			"/dzi/{image}_files/0/0_0.jpg", "/iiif/3/{image}/full/64,/0/default.jpg", "/zoomify/{image}/TileGroup0/0-0-0.jpg", "/tile/{store}/{image}/t.jpg",
			"/tile?db={store}&img={name}&name=t.jpg", "/thumb/{store}/{name}", "/apiv1/slides/{name}/0/0/0",
		} {
			a := c.get(strings.NewReplacer("{image}", im.ID, "{store}", im.Store, "{name}", im.FileName).Replace(path), carl...)
			to := a.header.Get("Location")
			if a.status != http.StatusTemporaryRedirect || !strings.HasPrefix(to, "http://"+h.addr+":8081/") {
				t.Errorf("%s of %s at the central server: status %d to %q, want to its endpoint", path, h.name, a.status, to)
				continue
			}
			bare := path == "/api/v1/images/{image}/preview" || path == "/thumb/{store}/{name}" // the second slide has no label
			if a, err := c.elsewhere(to); err != nil || a.status != http.StatusOK && !bare {
				t.Errorf("%s of %s: status %d, %v: %s", path, h.name, a.status, err, a.body)
			}
		}
		for _, path := range []string{"/dzi/" + im.ID + ".dzi", "/iiif/3/" + im.ID + "/info.json", "/zoomify/" + im.ID + "/ImageProperties.xml"} {
			if a := c.get(path, carl...); a.status != http.StatusOK || strings.Contains(a.body, h.addr) {
				t.Errorf("%s of %s at the central server: status %d: %s", path, h.name, a.status, a.body)
			}
		}
	}
	page := c.get("/", "Accept", "text/html")
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "http://"+c.scanner[0].addr+":8081") {
		t.Errorf("pages may not fetch tiles from the endpoints: %s", csp)
	}
	hosts := map[string]bool{}
	for _, w := range listed[struct{ Host string }](c, "/api/v1/workers", anna) {
		hosts[w.Host] = true
	}
	if !hosts["scanner-a"] || !hosts["scanner-b"] || len(hosts) != 2 {
		t.Errorf("workers on %v", hosts)
	}

	// Disconnect, and connect again.
	c.central.ip("link set to0 down")
	deliver(t, plain, filepath.Join(c.scanner[0].disk, "meanwhile.tiff"))
	c.away(anna, 0, true)
	if now := slides(carl); len(now) != 2 || now["scanner-a.tiff"].State != "available" {
		t.Errorf("while a host is away the gallery has %v", now)
	}
	if a, err := c.elsewhere(tileAt(seen["scanner-b.tiff"], 0, 0, 0)); err != nil || a.status != http.StatusOK {
		t.Errorf("the other host, meanwhile: status %d, %v", a.status, err)
	}
	for _, w := range listed[struct{ Host string }](c, "/api/v1/workers", anna) {
		if w.Host == "scanner-a" {
			t.Error("a worker of the host that is away counts as alive")
		}
	}
	c.central.ip("link set to0 up")
	c.away(anna, 0, false)
	c.wait("what came meanwhile", func() bool { return slides(carl)["meanwhile.tiff"].State == "available" })
	c.wait("its tiles", func() bool {
		a, err := c.elsewhere(tileAt(slides(carl)["meanwhile.tiff"], 0, 0, 0))
		return err == nil && a.status == http.StatusOK
	})

	// A user who logs out at the central server is logged out everywhere.
	urls := []string{tileAt(seen["scanner-a.tiff"], 0, 0, 0), tileAt(seen["scanner-b.tiff"], 0, 0, 0)}
	for _, url := range urls {
		c.wait("in", func() bool { a, err := c.elsewhere(url); return err == nil && a.status == http.StatusOK })
	}
	c.office.says("", "user", "set", "carl", "--disabled", "--database="+c.db.URL)
	for _, url := range urls {
		c.wait("out", func() bool {
			a, err := c.elsewhere(url)
			return err == nil && a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
		})
	}
}
