package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A block is a code block of a page, without its indentation or fences.
type block struct {
	page  string
	line  int // of its first line
	kind  string
	lines []string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

func (b *block) text() string { return strings.Join(b.lines, "\n") + "\n" }

var (
	// programLine matches a command line of the program, also one that runs as another user.
	programLine = regexp.MustCompile(`^(?:setpriv .* )?(?:bin/)?ptiffstore +([a-z].*)$`)
	shellLine   = regexp.MustCompile(`(?m)^(?:(?:bin/)?ptiffstore|curl|make) `)
)

// commands returns the command lines of the program in the block, without comments and
// redirections.
func (b *block) commands() (list []string) {
	text := strings.ReplaceAll(b.text(), "\\\n", " ")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		for part := range strings.SplitSeq(line, " && ") {
			part, _, _ = strings.Cut(part, " > ")
			if m := programLine.FindStringSubmatch(strings.TrimSpace(part)); m != nil {
				list = append(list, strings.NewReplacer(" Z X Y", " 0 0 0", "--listen …", "--listen 8081").Replace(m[1]))
			}
		}
	}
	return list
}

// isShell reports whether the block contains commands for a shell.
func (b *block) isShell() bool {
	return b.kind == "sh" || shellLine.MatchString(b.text())
}

// pages returns the pages of the documentation by their path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(path, "../../")] = string(b)
		}
	}
	return all
}

var blockStart = regexp.MustCompile("^( *)```([a-z]*)$")

// blocksOf returns the code blocks of a page, fenced or indented.
func blocksOf(page, text string) (list []*block) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if m := blockStart.FindStringSubmatch(lines[i]); m != nil {
			b := &block{page: page, line: i + 2, kind: m[2]}
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
				b.lines = append(b.lines, strings.TrimPrefix(lines[i], m[1]))
			}
			list = append(list, b)
			continue
		}
		if !strings.HasPrefix(lines[i], "    ") || i > 0 && strings.TrimSpace(lines[i-1]) != "" {
			continue
		}
		b := &block{page: page, line: i + 1}
		for ; i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "    ")); i++ {
			b.lines = append(b.lines, strings.TrimSpace(lines[i]))
		}
		i-- // the line after the block may begin another
		list = append(list, b)
	}
	return list
}

// runnable are the examples that TestExamplesRun executes, in this order: the page, a text of the block,
// and what to replace in it, as pairs.
var runnable = []struct {
	page, has string
	replace   []string
}{
	{"docs/api.md", "curl -X POST http://127.0.0.1:8080/api/v1/stores", nil},
	{"docs/api.md", "curl -o profile.icc", []string{"$IMAGE", "$(echo ID)"}},
	{"docs/access.md", "ptiffstore group add pathologists", nil},
	{"docs/formats.md", "ptiffstore inspect slide.tiff", nil},
	{"docs/convert.md", "ptiffstore convert scan.png", []string{"slide.tiff", "scan.tiff", "PNG of", "# PNG of"}},
	{"docs/convert.md", "ptiffstore task submit convert_image", nil},
	{"docs/cutouts.md", "ptiffstore crop slide.tiff", []string{"688,496,624,464:", "# 688,496,624,464:"}},
	{"docs/dicom.md", "ptiffstore dicom export slide.tiff", nil},
	{"docs/formats/dicom.md", "ptiffstore inspect series/", []string{"series/level0.dcm", "$(ls series/*.dcm | head -1)"}},
	{"docs/stores-and-sync.md", "ptiffstore store add /archive --managed", []string{"ptiffstore store add /archive --managed --incoming", "# the same store"}},
	{"docs/upload.md", "ptiffstore upload *.tiff", nil},
	{"docs/upload.md", "-X DELETE", nil},
	{"docs/tasks.md", "ptiffstore task wait t7", []string{"ptiffstore task submit sync_store 'Scanner 1' --queue autosync", "T=$(ptiffstore task submit sync_store 'Scanner 1' --queue autosync)", "ptiffstore task cancel", "# ptiffstore task cancel", "t7 ", "$T ", "t7\n", "$T\n"}},
	{"docs/troubleshooting.md", "ptiffstore inspect FILE", []string{"lsof", "# lsof"}},
	{"docs/troubleshooting.md", "ptiffstore sync STORE --dry-run", []string{"findmnt", "# findmnt"}},
	{"docs/troubleshooting.md", "ptiffstore tile FILE", nil},
	{"docs/troubleshooting.md", "/api/v1/auth/session", nil},
	{"docs/sizing.md", "ptiffstore store add many", []string{"seq 3000", "seq 3"}},
	{"docs/central-server.md", "ptiffstore edge add", nil},
	{"docs/install.md", "ptiffstore backup /backups", nil},
}

// notRun are the other examples for a shell, by page and a text of the block, with the reason.
// Their command lines are parsed all the same.
var notRun = []struct{ page, has, why string }{
	{"README.md", "make run", "builds"},
	{"README.md", "bin/ptiffstore serve", "does not end"},
	{"docs/access.md", "ptiffstore serve --auth local", "does not end"},
	{"docs/cases.md", "--try", "needs slides with such names; see TestCasePattern"},
	{"docs/cases.md", "ptiffstore image set", "needs the id of an image; see TestCasePattern"},
	{"docs/embedding.md", "--frame-ancestors", "does not end"},
	{"docs/originals.md", "--role downloader", "needs a user; see TestOriginalAccess"},
	{"docs/originals.md", "curl -H", "needs a token; see TestOriginalFile"},
	{"docs/share.md", "ptiffstore share create", "needs the ids of images"},
	{"docs/central-server.md", "ptiffstore serve --auth central", "does not end"},
	{"docs/deployment.md", "ptiffstore serve --listen", "does not end"},
	{"docs/deployment.md", "ptiffstore tileserver", "does not end"},
	{"docs/deployment.md", "docker load", "needs Docker"},
	{"docs/dicom.md", "ptiffstore dicom export qsnnj3jsmaxmvynku2dkpf2smi", "needs the id of an image; see TestDICOMExport"},
	{"docs/dicom.md", "export_dicom", "needs the ids of a store and an image; see TestExportTask"},
	{"docs/dicom-viewers.md", "", "needs an archive"},
	{"docs/install.md", "", "changes the system"},
	{"docs/monitoring.md", "--metrics-listen", "does not end"},
	{"docs/monitoring.md", "--otlp-endpoint", "does not end"},
	{"docs/several-hosts.md", "", "for several hosts; see TestHosts and TestCluster"},
	{"docs/stores-and-sync.md", "mongodb://reader@db", "needs a MongoDB server; see TestStoreAddImages"},
	{"docs/deployment.md", "kubectl create secret", "needs a cluster; see TestHelmManifests"},
	{"docs/object-storage.md", "", "needs an S3 server; see TestServeBucket and TestStoreAddBucket"},
	{"docs/slideatlas.md", "", "needs a site of SlideAtlas; see TestSlideAtlasGuide"},
	{"docs/stores-and-sync.md", "ptiffstore serve /slides", "does not end"},
	{"docs/stores-and-sync.md", "--schedule 15m", "the store exists already"},
	{"docs/tasks.md", "ptiffstore worker", "does not end"},
}

// TestExamplesAreKnown checks that each example for a shell is either run or listed as one that is
// not, and that the program knows the commands and flags of all of them.
func TestExamplesAreKnown(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for page, text := range pages(t) {
		for _, b := range blocksOf(page, text) {
			for _, line := range b.commands() {
				if _, err := newParser(&program{}).Parse(wordsOfShell(line)); err != nil && !strings.Contains(err.Error(), "no such file") {
					t.Errorf("%s: ptiffstore %s: %v", b, line, err)
				}
			}
			if !b.isShell() {
				continue
			}
			known := false
			for _, r := range runnable {
				if r.page == page && strings.Contains(b.text(), r.has) {
					known, used[r.page+r.has] = true, true
				}
			}
			for _, r := range notRun {
				if r.page == page && !known && strings.Contains(b.text(), r.has) {
					known, used[r.page+r.has] = true, true
				}
			}
			if !known {
				t.Errorf("%s: the example is neither run nor listed as not run:\n%s", b, b.text())
			}
		}
	}
	for _, r := range runnable {
		if !used[r.page+r.has] {
			t.Errorf("%s no longer has an example with %q", r.page, r.has)
		}
	}
	for _, r := range notRun {
		if !used[r.page+r.has] {
			t.Errorf("%s no longer has an example with %q that is not run (%s)", r.page, r.has, r.why)
		}
	}
}

var shellWord = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)

// wordsOfShell splits a command line of an example. An ellipsis stands for more arguments.
func wordsOfShell(line string) (words []string) {
	for _, w := range shellWord.FindAllString(line, -1) {
		if w != "…" {
			words = append(words, strings.Trim(w, `'"`))
		}
	}
	return words
}

// TestExamplesRun executes examples of the pages, one after another, with one server.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir := slidesIn(t, map[string]*slideFile{"slide.tiff": philips})
	for _, name := range []string{"slides/scanner1", "slides/scanner3", "archive", "backups", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "slides/scanner1/a.tiff"), profiled.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	writePNG(t, filepath.Join(dir, "scan.png"))
	if err := os.Symlink(built(t), filepath.Join(dir, "bin/ptiffstore")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	s := launch(t, "serve", "--data", data, "--store-root", filepath.Join(dir, "slides"), "--queue", "default", "--queue", "autosync")
	store := strings.Fields(shell(t, dir, data, "ptiffstore store add slides/scanner1 --label 'Scanner 1'"))[0]
	image := ""
	s.until("the slide", func() bool {
		_, rest, ok := strings.Cut(s.get("/api/v1/images?state=available").body, `"id":"`)
		image, _, _ = strings.Cut(rest, `"`)
		return ok
	})
	all := pages(t)
	for _, r := range runnable {
		for _, b := range blocksOf(r.page, all[r.page]) {
			if !b.isShell() || !strings.Contains(b.text(), r.has) {
				continue
			}
			text := b.text()
			if strings.Contains(text, "UPLOAD") {
				text = strings.ReplaceAll(text, "uploads/UPLOAD", "uploads/"+beginUpload(t, s))
			}
			text = strings.NewReplacer(r.replace...).Replace(text)
			text = strings.NewReplacer(
				"http://127.0.0.1:8080", s.url, "https://slides.example.org", s.url, "/slides/", dir+"/slides/", "/archive", dir+"/archive", "/backups", dir+"/backups", "/var/lib/ptiffstore", data,
				" STORE", " "+store, " ID", " "+image, " FILE", " slide.tiff", " Z X Y", " 0 0 0",
			).Replace(text)
			shell(t, dir, data, text)
			break
		}
	}
}

// shell runs commands, each of which must succeed, and returns what they print.
func shell(t *testing.T, dir, data, text string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", `curl() { command curl --fail --silent --show-error "$@"; }`+"\n"+text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "PTIFFSTORE_DATA="+data, "TOKEN=none")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("%s\n%v: %s%s", text, err, &out, &errs)
	}
	return out.String()
}

// beginUpload creates an upload into the store archive that receives nothing, and returns
// its id.
func beginUpload(t *testing.T, s *process) string {
	t.Helper()
	var stores struct{ Items []struct{ ID, Label string } }
	if err := json.Unmarshal([]byte(s.get("/api/v1/stores").body), &stores); err != nil {
		t.Fatal(err)
	}
	store := ""
	for _, st := range stores.Items {
		if st.Label == "archive" {
			store = st.ID
		}
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	req, err := http.NewRequest("POST", s.url+"/api/v1/uploads", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Length": {"1000"}, "Upload-Metadata": {"filename " + encode("b.tiff") + ",store " + encode(store)}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("upload: status %d: %s", resp.StatusCode, body)
	}
	return filepath.Base(resp.Header.Get("Location"))
}

func writePNG(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 700, 600))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	codeSpan   = regexp.MustCompile("`[^`\n]+`")
	namedFlag  = regexp.MustCompile(`(?:^|[\s\x60(])--([a-z][a-z0-9-]+)`)
	namedRoute = regexp.MustCompile(`(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^\s\x60?]+)`)
	parameter  = regexp.MustCompile(`\{[^}]*\}`)
)

// foreignFlags are flags of other programs that pages name.
var foreignFlags = map[string]bool{
	"ulimit": true, "nofile": true, "user": true, "network": true, "init": true, "stop-timeout": true,
	"unix-socket": true, "format": true, "file": true, "dbname": true, "no-owner": true, // curl and PostgreSQL
	"gzip": true, // mongodump
}

// TestPagesNameWhatExists checks that the flags and routes that pages name exist.
func TestPagesNameWhatExists(t *testing.T) {
	t.Parallel()
	flags := map[string]bool{"help": true, "version": true}
	model := newParser(&program{}).Model
	for _, leaf := range model.Leaves(false) {
		for _, group := range leaf.AllFlags(false) {
			for _, f := range group {
				flags[f.Name] = true
				if f.Tag.Negatable != "" {
					flags["no-"+f.Name] = true
				}
			}
		}
	}
	routes := documentedRoutes(t)
	for page, text := range pages(t) {
		for _, span := range codeSpan.FindAllString(text, -1) {
			for _, m := range namedFlag.FindAllStringSubmatch(span, -1) {
				if !flags[m[1]] && !foreignFlags[m[1]] {
					t.Errorf("%s names --%s, which no command has", page, m[1])
				}
			}
			for _, m := range namedRoute.FindAllStringSubmatch(span, -1) {
				route := m[1] + " " + parameter.ReplaceAllString(m[2], "{}")
				if strings.HasPrefix(m[2], "/api/v1/") && !routes[route] {
					t.Errorf("%s names the route %s, which the server does not have", page, route)
				}
			}
		}
	}
}

// documentedRoutes returns the routes of the OpenAPI document, as "GET /api/v1/images/{}".
func documentedRoutes(t *testing.T) map[string]bool {
	t.Helper()
	s := launch(t, "serve", "--data", filepath.Join(t.TempDir(), "data"))
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(s.get("/openapi.json").body), &doc); err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			routes[strings.ToUpper(method)+" "+parameter.ReplaceAllString(path, "{}")] = true
		}
	}
	return routes
}
