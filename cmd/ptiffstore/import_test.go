package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/siteimport"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

// A holding is everything that an import may change.
type holding struct {
	Stores      []catalog.Store
	Images      []catalog.Image
	Users       []account.User
	Groups      []account.Group
	Grants      []account.Grant
	Members     map[string][]string
	Credentials map[string]string
}

func (o *office) holding() (h holding) {
	o.t.Helper()
	c, err := catalog.Open(o.t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer c.Close()
	a := o.accounts()
	must := func(err error) {
		if err != nil {
			o.t.Fatal(err)
		}
	}
	h.Stores, err = c.Stores.List(o.t.Context())
	must(err)
	page, err := c.Images.List(o.t.Context(), catalog.Query{Limit: 1000, Labels: true})
	must(err)
	h.Images = page.Items
	h.Users, err = allUsers(o.t.Context(), a)
	must(err)
	h.Groups, err = a.Groups.List(o.t.Context())
	must(err)
	h.Grants, err = a.Grants.List(o.t.Context(), account.GrantFilter{})
	must(err)
	h.Members = map[string][]string{}
	for _, g := range h.Groups {
		list, err := a.Groups.Members(o.t.Context(), g.ID)
		must(err)
		for _, u := range list {
			h.Members[g.Name] = append(h.Members[g.Name], u.Name)
		}
	}
	h.Credentials = map[string]string{}
	must(filepath.WalkDir(o.data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".password") {
			info, err := d.Info()
			must(err)
			b, err := os.ReadFile(path)
			must(err)
			h.Credentials[filepath.Base(path)] = info.Mode().String() + " " + string(b)
		}
		return err
	}))
	return h
}

// newSiteDump writes a site's dump and its TIFF files.
func newSiteDump(t *testing.T) (site *atlastest.Site, files string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	site, files = atlastest.NewSite(t, filepath.Join(dir, "backups")), filepath.Join(dir, "slides")
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range site.Files {
		if err := os.WriteFile(filepath.Join(files, name), plain.bytes(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return site, files
}

// imports runs the import of a site, which must succeed, and returns its report.
func (o *office) imports(site *atlastest.Site, args ...string) (r siteimport.Report) {
	o.t.Helper()
	res := o.run("", append([]string{"import", "slideatlas", "dump://" + site.Dir + "/slideatlas", "--json"}, args...)...)
	if res.code != exitOK {
		o.t.Fatalf("import: %v", res)
	}
	if strings.Contains(res.out+res.err, "secret") {
		o.t.Errorf("the output has a password: %v", res)
	}
	if err := json.Unmarshal([]byte(res.out), &r); err != nil {
		o.t.Fatal(err)
	}
	return r
}

// TestImportSite imports a site three times: dry, really, and again.
func TestImportSite(t *testing.T) {
	t.Parallel()
	site, files := newSiteDump(t)
	o := newOffice(t)
	empty := o.holding()
	root := "--root=" + atlastest.OldRoot + "=" + files
	want := map[string]map[siteimport.Result]int{
		"store": {"added": 3}, "group": {"added": 4}, "user": {"added": 4, "skipped": 1}, "member": {"added": 4, "skipped": 1},
		"permission": {"added": 3, "skipped": 1},
	}
	dry := o.imports(site, root, "--dry-run")
	if diff := cmp.Diff(want, dry.Counts); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(catalog.Store{}, "UpdatedAt", "LastSync", "LastResult")}
	if diff := cmp.Diff(empty, o.holding(), same); diff != "" {
		t.Errorf("the dry run has changed something:\n%s", diff)
	}

	r := o.imports(site, root)
	want["image"] = map[siteimport.Result]int{"changed": 10}
	if diff := cmp.Diff(want, r.Counts); diff != "" {
		t.Errorf("import (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"collections": 1, "sessions": 1, "views": 3, "permalinks": 1}, r.NotMoved); diff != "" {
		t.Errorf("what was not moved (-want +got):\n%s", diff)
	}
	h := o.holding()
	o.checkSite(site, files, &h)

	again := o.imports(site, root)
	for kind, counts := range again.Counts {
		if counts[siteimport.Added]+counts[siteimport.Changed] > 0 {
			t.Errorf("the second import has changed %s: %v", kind, counts)
		}
	}
	if diff := cmp.Diff(h, o.holding(), same); diff != "" {
		t.Errorf("the second import has changed something:\n%s", diff)
	}
}

// checkSite checks what an import of the whole site has added.
func (o *office) checkSite(site *atlastest.Site, files string, h *holding) {
	t := o.t
	t.Helper()
	roots := []string{"dump://" + site.Dir + "/tiles1", "dump://" + site.Dir + "/tiles2", files}
	labels := []string{"Old slides", "Older slides", "Scanner 1"}
	if len(h.Stores) != 3 {
		t.Fatalf("%d stores, want 3", len(h.Stores))
	}
	stores := map[string]string{}
	for i, s := range h.Stores {
		stores[s.ID] = s.ExternalID
		if s.ExternalID != site.Stores[i] || s.Root != roots[i] || s.Label != labels[i] || s.PasswordFile != "" {
			t.Errorf("store %d: %+v, want root %s and label %s", i, s, roots[i], labels[i])
		}
	}
	if h.Stores[0].Copyright != "(c) 2014" {
		t.Errorf("copyright %q", h.Stores[0].Copyright)
	}
	found := map[string]string{}
	for _, im := range h.Images {
		if im.State != catalog.Available || im.ExternalID == nil || im.Label == nil {
			t.Errorf("image %+v: not available, or without external id or label", im)
			continue
		}
		found[*im.ExternalID] = stores[im.StoreID] + " " + *im.Label
	}
	want := map[string]string{}
	for i, im := range site.Images {
		want[im.ID] = site.Stores[i/15] + " " + im.Label
	}
	for _, name := range site.Files {
		want[atlastest.ID(name)] = site.Stores[2] + " Case " + name
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	members := map[string][]string{"SlideAtlas: Administrators": {"anna@example.org"}, "SlideAtlas: Students": {"bert@example.org", "cleo@example.org"}, "SlideAtlas: Teachers": {"cleo@example.org"}}
	if diff := cmp.Diff(members, h.Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	for _, u := range h.Users {
		if u.HasPassword {
			t.Errorf("user %s has a password", u.Name)
		}
	}
	groups, grants := map[string]string{}, map[string]int{}
	for _, g := range h.Groups {
		groups[g.ID] = g.Name
	}
	for _, g := range h.Grants {
		what := "everything"
		if g.Image != "" {
			what = "image"
		}
		grants[groups[g.Group]+" "+string(g.Role)+" "+what+g.Store]++
	}
	if diff := cmp.Diff(map[string]int{"SlideAtlas: Administrators admin everything": 1, "SlideAtlas: Students viewer image": 3, "SlideAtlas: Teachers reader image": 3}, grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	a := o.accounts()
	acts := map[string]int{}
	events, _, err := a.Audit.List(t.Context(), account.EventFilter{Limit: 1000, Images: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		acts[e.Act] += max(1, len(e.Images))
	}
	if diff := cmp.Diff(map[string]int{"store.add": 3, "image.set": 10, "group.add": 4, "user.add": 4, "group.join": 4, "grant.add": 7}, acts); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

// TestImportPasswords: without a dump of a store's database, the store is that in the server,
// and its password is in a file; a folder that does not exist here is reported. What people
// have changed stays.
func TestImportPasswords(t *testing.T) {
	t.Parallel()
	site, files := newSiteDump(t)
	if err := os.Rename(filepath.Join(site.Dir, "tiles1"), filepath.Join(site.Dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t)
	r := o.imports(site, "--no-sync")
	if len(r.Items) == 0 || r.Counts["store"][siteimport.Skipped] != 1 || !strings.Contains(r.Items[2].Reason, "--root "+atlastest.OldRoot+"=") {
		t.Errorf("report %+v, want the missing folder", r)
	}
	h := o.holding()
	if got := h.Stores[0]; got.Root != "mongodb://reader@127.0.0.1:1/tiles1" || got.PasswordFile != filepath.Join(o.data, "credentials", site.Stores[0]+".password") {
		t.Errorf("store %+v", got)
	}
	if diff := cmp.Diff(map[string]string{site.Stores[0] + ".password": "-rw------- " + atlastest.Password + "\n"}, h.Credentials); diff != "" {
		t.Errorf("password files (-want +got):\n%s", diff)
	}
	o.says("", "store", "set", "Old slides", "--label", "Mine")
	if err := os.WriteFile(h.Stores[0].PasswordFile, []byte("changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = o.imports(site, "--no-sync", "--root="+atlastest.OldRoot+"="+files)
	if r.Counts["store"][siteimport.Added] != 1 || r.Counts["image"][siteimport.Skipped] != 10 {
		t.Errorf("with the folder: %+v", r.Counts)
	}
	h = o.holding()
	if h.Stores[0].Label != "Mine" || h.Credentials[site.Stores[0]+".password"] != "-rw------- changed\n" {
		t.Errorf("a change by a person is lost: %+v", h.Stores[0])
	}
	res := o.run("", "import", "slideatlas", "dump://"+site.Dir+"/slideatlas", "--no-sync")
	for _, words := range []string{"stores", "UNCHANGED", "no e-mail address", "not imported: 1 documents of the collection permalinks"} {
		if !strings.Contains(res.out, words) {
			t.Errorf("the report does not say %q:\n%s", words, res.out)
		}
	}
}

// TestImportRefuses: addresses that are not those of a site.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	site, _ := newSiteDump(t)
	o := newOffice(t)
	for address, words := range map[string]string{
		"dump:///no/such/folder":           "no such file",
		"dump://" + site.Dir:               `use one of the folders in it: slideatlas`,
		"dump://" + site.Dir + "/tiles1":   `does not contain the collection "databases"`,
		"dump://relative":                  "whole path",
		"https://example.org":              "mongodb://",
		"mongodb://a:pass word@h/db":       "contains a password",
		"mongodb://127.0.0.1:1/slideatlas": "unreachable",
	} {
		o.refuses(words, "", "import", "slideatlas", address)
	}
}

// TestImportServer imports a site from a MongoDB server, and again when its databases are gone.
func TestImportServer(t *testing.T) {
	t.Parallel()
	server := mongotest.New(t)
	admin, tiles := atlastest.NewDatabase(t, server.Host, "import_admin"), atlastest.NewDatabase(t, server.Host, "import_tiles")
	id, err := bson.ObjectIDFromHex(atlastest.ID("a store"))
	if err != nil {
		t.Fatal(err)
	}
	admin.Insert(t, "databases", bson.D{{Key: "_id", Value: id}, {Key: "label", Value: "Live"}, {Key: "dbname", Value: tiles.Name}})
	admin.Insert(t, "users", bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: "anna@example.org"}})
	tiles.Put(t, atlastest.New("a.ndpi", 20), atlastest.New("b.ndpi", 40))
	o := newOffice(t)
	for _, want := range []siteimport.Result{siteimport.Added, siteimport.Unchanged} {
		res := o.run("", "import", "slideatlas", admin.URI, "--json")
		var r siteimport.Report
		if err := json.Unmarshal([]byte(res.out), &r); err != nil {
			t.Fatalf("%v: %v", err, res)
		}
		if diff := cmp.Diff(map[string]map[siteimport.Result]int{"store": {want: 1}, "user": {want: 1}}, r.Counts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	h := o.holding()
	if len(h.Stores) != 1 || h.Stores[0].Root != tiles.URI || h.Stores[0].ExternalID != id.Hex() {
		t.Errorf("stores %+v", h.Stores)
	}
	if len(h.Images) != 2 || h.Images[0].State != catalog.Available || h.Images[0].ExternalID == nil {
		t.Errorf("images %+v", h.Images)
	}
	admin.Drop(t)
	o.refuses("has no image stores", "", "import", "slideatlas", admin.URI)
	if diff := cmp.Diff(h, o.holding(), cmpopts.IgnoreFields(catalog.Store{}, "UpdatedAt", "LastSync", "LastResult")); diff != "" {
		t.Errorf("an import from an empty database has changed something:\n%s", diff)
	}
}
