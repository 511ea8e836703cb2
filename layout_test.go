package ptiffstore_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/licenses"
)

const module = "github.com/slideatlas/ptiffstore"

// layout lists the packages in the order of ARCHITECTURE.md, and for each what it may
// import: packages of this module, all of which stand above it, then other modules.
// Standard packages are allowed unless reserved says otherwise. Test files may import
// anything.
var layout = []struct{ pkg, pkgs, modules string }{
	{".", "", ""},
	{"tiff", "", ""},
	{"slide", "tiff", ""},
	{"internal/icc", "", ""},
	{"internal/barcode", "", "github.com/boombuler/barcode github.com/makiuchi-d/gozxing"},
	{"internal/fsx", "", "golang.org/x/sys"},
	{"internal/runcache", "slide internal/fsx", ""},
	{"internal/socket", "internal/fsx", ""},
	{"internal/synth", "internal/barcode", "golang.org/x/image github.com/klauspost/compress"},
	{"test/jpegtest", "", ""},
	{"internal/jpeg", "", ""},
	{"internal/jpeg2000", "", ""},
	{"internal/planes", "", ""},
	{"internal/codec", "internal/jpeg internal/planes", ""},
	{"internal/resample", "internal/planes", ""},
	{"internal/render", "slide internal/barcode internal/jpeg internal/jpeg2000 internal/planes internal/codec internal/resample", "github.com/maypok86/otter/v2 golang.org/x/image github.com/klauspost/compress golang.org/x/sync"},
	{"internal/profile", "tiff slide internal/icc", "golang.org/x/sync"},
	{"internal/bigtiff", "tiff", ""},
	{"internal/convert", "tiff slide internal/render internal/fsx internal/bigtiff", "github.com/klauspost/compress"},
	{"internal/cutout", "tiff slide internal/jpeg internal/render internal/bigtiff", ""},
	{"internal/strictjson", "", ""},
	{"internal/etag", "", ""},
	{"internal/byterange", "", ""},
	{"internal/slideatlas", "tiff slide", "go.mongodb.org/mongo-driver/v2/bson"},
	{"internal/dicom", "tiff slide internal/fsx internal/jpeg internal/render", "golang.org/x/text"},
	{"internal/pack", "tiff slide internal/fsx internal/jpeg internal/render internal/bigtiff internal/slideatlas", ""},
	{"internal/mongodump", "internal/fsx internal/slideatlas", "go.mongodb.org/mongo-driver/v2/bson"},
	{"internal/mongodb", "internal/slideatlas", "go.mongodb.org/mongo-driver/v2"},
	{"internal/bucket", "", "github.com/minio/minio-go/v7 github.com/minio/crc64nvme"},
	{"test/unprivileged", "", ""},
	{"test/program", "internal/fsx", ""},
	{"test/helmtest", "test/program", ""},
	{"test/mongotest", "test/program test/unprivileged", ""},
	{"test/s3test", "test/program test/unprivileged", "github.com/minio/minio-go/v7"},
	{"test/atlastest", "internal/slideatlas", "go.mongodb.org/mongo-driver/v2"},
	{"test/pgtest", "test/unprivileged", "github.com/jackc/pgx/v5"},
	{"internal/loop", "", ""},
	{"internal/db", "internal/fsx", "modernc.org/sqlite github.com/jackc/pgx/v5 github.com/pressly/goose/v3"},
	{"internal/catalog", "internal/fsx internal/db internal/loop", "github.com/jackc/pgx/v5 golang.org/x/text"},
	{"internal/structure", "slide internal/catalog", "github.com/klauspost/compress"},
	{"test/slidetest", "", ""},
	{"test/picture", "", ""},
	{"test/catalogtest", "test/pgtest internal/catalog", ""},
	{"test/dicomtest", "slide internal/dicom test/slidetest", ""},
	{"internal/source", "tiff slide internal/fsx internal/bucket internal/slideatlas internal/dicom internal/mongodump internal/mongodb internal/catalog", "golang.org/x/sys go.mongodb.org/mongo-driver/v2/bson"},
	{"internal/verify", "internal/fsx internal/catalog internal/source", "golang.org/x/sys"},
	{"internal/lease", "internal/catalog", ""},
	{"internal/inspect", "tiff slide internal/structure internal/profile internal/jpeg2000 internal/fsx internal/dicom internal/catalog internal/source", ""},
	{"internal/mirror", "internal/fsx internal/catalog", ""},
	{"internal/managed", "internal/fsx internal/strictjson internal/dicom internal/catalog internal/source internal/lease internal/inspect internal/mirror", "golang.org/x/sys"},
	{"internal/bucketstore", "internal/bucket internal/catalog internal/fsx internal/inspect internal/lease internal/managed internal/source internal/strictjson", ""},
	{"internal/scan", "slide internal/barcode internal/bucket internal/bucketstore internal/fsx internal/render internal/catalog internal/loop internal/source internal/lease internal/inspect internal/mirror internal/managed", ""},
	{
		"internal/task", "internal/strictjson internal/db internal/catalog internal/loop",
		"github.com/riverqueue/river modernc.org/sqlite github.com/jackc/pgx/v5 github.com/robfig/cron/v3",
	},
	{"internal/account", "internal/db internal/catalog", "golang.org/x/crypto golang.org/x/text"},
	{"internal/siteimport", "internal/fsx internal/slideatlas internal/mongodump internal/mongodb internal/catalog internal/account", "go.mongodb.org/mongo-driver/v2/bson"},
	{"internal/httperr", "", ""},
	{"internal/config", "internal/fsx", "go.yaml.in/yaml/v3"},
	{"internal/trace", "internal/httperr", "go.opentelemetry.io/otel go.opentelemetry.io/proto/otlp google.golang.org/protobuf"},
	{"internal/provision", "internal/bucket internal/bucketstore internal/catalog internal/source internal/managed internal/scan internal/config", ""},
	{"internal/limit", "internal/socket internal/httperr", "golang.org/x/sys"},
	{"internal/oidc", "internal/account internal/httperr", "github.com/coreos/go-oidc/v3 golang.org/x/oauth2"},
	{"test/oidctest", "", "github.com/zitadel/oidc/v3 github.com/go-jose/go-jose/v4"},
	{"internal/authz", "internal/strictjson internal/account internal/httperr internal/loop", ""},
	{"internal/tile", "slide internal/runcache internal/fsx internal/jpeg internal/icc internal/profile internal/etag", "golang.org/x/sync golang.org/x/sys"},
	{"internal/upload", "internal/strictjson internal/dicom internal/bucket internal/bucketstore internal/catalog internal/lease internal/source internal/inspect internal/managed internal/scan internal/httperr internal/loop internal/fsx", "golang.org/x/sys golang.org/x/sync"},
	{"internal/rendercache", "slide internal/icc internal/fsx internal/jpeg internal/planes internal/render internal/tile", ""},
	{"test/tiletest", "slide internal/icc internal/fsx internal/synth internal/render internal/account internal/authz internal/tile internal/rendercache", "github.com/google/go-cmp golang.org/x/sys"},
	{"internal/iiif", "", ""},
	{"internal/region", "", "github.com/klauspost/compress"},
	{"internal/tile/follow", "slide internal/loop internal/catalog internal/tile", ""},
	{"internal/tile/answer", "internal/httperr internal/authz internal/tile", ""},
	{"internal/tile/nethttp", "internal/httperr internal/authz internal/tile internal/tile/answer", ""},
	{"internal/tile/fasthttp", "internal/httperr internal/authz internal/tile internal/tile/answer", "github.com/valyala/fasthttp"},
	{"internal/webui", "internal/etag internal/httperr", ""},
	{"internal/storeroot", "internal/fsx internal/catalog internal/source", ""},
	{"internal/dicomweb", "slide internal/fsx internal/etag internal/dicom internal/catalog internal/managed internal/authz internal/httperr internal/planes internal/render internal/profile internal/tile internal/rendercache internal/tile/answer", "github.com/maypok86/otter/v2"},
	{"internal/api", "slide internal/dicom internal/planes internal/codec internal/jpeg internal/icc internal/profile internal/render internal/cutout internal/etag internal/byterange internal/strictjson internal/slideatlas internal/mongodb internal/bucket internal/bucketstore internal/catalog internal/source internal/managed internal/scan internal/task internal/account internal/httperr internal/oidc internal/authz internal/tile internal/iiif internal/region internal/rendercache internal/dicomweb internal/storeroot", "github.com/danielgtaylor/huma/v2"},
	{"test/soak", "", ""},
	{
		"test/bench", "tiff slide internal/fsx internal/synth internal/bigtiff internal/slideatlas internal/dicom test/mongotest test/s3test test/soak test/pgtest internal/catalog internal/verify internal/source internal/scan " +
			"internal/authz internal/tile internal/tile/nethttp internal/tile/fasthttp", "go.mongodb.org/mongo-driver/v2 golang.org/x/sync",
	},
	{"internal/backup", "internal/fsx internal/strictjson internal/db internal/catalog", ""},
	{"internal/doctor", "internal/backup internal/socket internal/bucket internal/bucketstore internal/fsx internal/strictjson internal/db internal/catalog internal/source internal/managed internal/scan internal/task internal/account internal/httperr", "golang.org/x/sys"},
	{"internal/instance", "internal/fsx", ""},
	{"internal/deploy", "", ""},
	{"internal/licenses", "", ""},
	{"internal/metrics", "", "github.com/prometheus/client_golang"},
	{
		"internal/taskhandler", "tiff slide internal/bucket internal/bucketstore internal/dicom internal/fsx internal/render internal/convert internal/pack internal/loop internal/catalog internal/verify internal/source internal/managed internal/scan internal/task internal/tile internal/rendercache", "",
	},
	{
		"internal/server", "internal/runcache internal/structure internal/bucket internal/fsx internal/source internal/render internal/loop internal/db internal/catalog internal/verify internal/lease internal/managed internal/scan internal/task internal/account internal/httperr internal/trace internal/limit internal/oidc internal/authz " +
			"internal/tile internal/upload internal/rendercache internal/tile/follow internal/tile/nethttp internal/tile/fasthttp internal/dicomweb internal/webui internal/api internal/metrics internal/taskhandler", "github.com/klauspost/compress",
	},
	{
		"cmd/ptiffstore", "tiff slide internal/profile internal/slideatlas internal/mongodump internal/bucket internal/bucketstore internal/mongodb internal/siteimport internal/socket internal/synth internal/codec internal/jpeg2000 internal/jpeg internal/planes internal/region internal/cutout internal/render internal/convert internal/dicom internal/strictjson internal/db internal/catalog internal/source internal/lease internal/managed internal/scan internal/account internal/httperr internal/upload internal/fsx " +
			"internal/oidc internal/authz internal/tile internal/rendercache internal/api internal/task internal/verify internal/licenses internal/config internal/provision internal/deploy internal/backup internal/instance internal/doctor internal/trace internal/taskhandler internal/server",
		"github.com/alecthomas/kong github.com/willabides/kongplete github.com/dustin/go-humanize golang.org/x/term github.com/vbauerster/mpb/v8",
	},
	{"scripts/demoslides", "internal/synth", ""},
	{"scripts/gotest", "", ""},
	{"scripts/licenses", "", ""},
	{"scripts/testdb", "test/pgtest", ""},
}

// reserved lists standard packages and the only packages that may import them. A package
// may still reach them through another one; internal/tile reaches neither of the first two.
var reserved = map[string]string{
	"database/sql": "internal/db internal/catalog internal/task internal/account",
	"net/http": "internal/bucket internal/metrics internal/httperr internal/limit internal/trace internal/oidc internal/authz internal/upload internal/tile/nethttp internal/tile/fasthttp internal/dicomweb internal/webui internal/api " +
		"internal/doctor test/tiletest test/oidctest test/s3test test/soak test/bench internal/server cmd/ptiffstore",
	"testing": "test/dicomtest test/tiletest test/oidctest test/pgtest test/catalogtest test/unprivileged test/mongotest test/s3test test/helmtest test/atlastest", // shared by the tests of several packages
	"C":       "internal/codec internal/resample internal/jpeg2000",                                                                                                // with the tag native, linked statically
}

// barred lists packages and the standard packages that they may not import. Scanning
// reaches files only through internal/source and internal/managed.
var barred = map[string]string{
	"internal/scan": "os syscall path/filepath",
}

// A goPackage is what go list reports about a package.
type goPackage struct {
	ImportPath, Doc string
	Imports, Deps   []string
}

// path returns the package's path within the module, "." for the root.
func (p *goPackage) path() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// TestLayout fails when a package imports something that its line above does not list, or
// has no line. Adding one is a design decision: give the reason in the commit.
func TestLayout(t *testing.T) {
	for _, tags := range []string{"", "native"} {
		for _, p := range packages(t, tags) {
			i := slices.IndexFunc(layout, func(l struct{ pkg, pkgs, modules string }) bool { return l.pkg == p.path() })
			if i < 0 {
				t.Errorf("package %s is not in the layout", p.path())
				continue
			}
			for _, imp := range p.Imports {
				if !allowed(p.path(), layout[i].pkgs, layout[i].modules, imp) {
					t.Errorf("tags %q: package %s may not import %s", tags, p.path(), imp)
				}
			}
		}
	}
}

// allowed reports whether pkg may import imp.
func allowed(pkg, pkgs, modules, imp string) bool {
	if ours, ok := strings.CutPrefix(imp, module+"/"); ok {
		return slices.Contains(strings.Fields(pkgs), ours)
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		if slices.Contains(strings.Fields(barred[pkg]), imp) {
			return false
		}
		only, ok := reserved[imp]
		return !ok || slices.Contains(strings.Fields(only), pkg)
	}
	return slices.ContainsFunc(strings.Fields(modules), func(m string) bool {
		return imp == m || strings.HasPrefix(imp, m+"/")
	})
}

// TestLayoutOrder fails when the line of a package lists one below it: that is an import
// cycle, or soon will be.
func TestLayoutOrder(t *testing.T) {
	above := map[string]bool{}
	for _, l := range layout {
		for pkg := range strings.FieldsSeq(l.pkgs) {
			if !above[pkg] {
				t.Errorf("the line of %s lists %s, which does not stand above it", l.pkg, pkg)
			}
		}
		above[l.pkg] = true
	}
}

// TestTileDependencies fails when internal/tile depends, directly or indirectly, on a
// package that must not be used while serving a tile.
func TestTileDependencies(t *testing.T) {
	forbidden := []string{"net/http", "database/sql", "image/jpeg", "github.com/valyala/fasthttp"}
	for _, p := range packages(t, "") {
		if p.path() != "internal/tile" {
			continue
		}
		for _, dep := range p.Deps {
			if slices.Contains(forbidden, dep) {
				t.Errorf("internal/tile depends on %s", dep)
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t, "") {
		if p.Doc == "" {
			t.Errorf("package %s has no package comment", p.path())
		}
	}
}

// TestArchitecture fails when ARCHITECTURE.md does not name a package. Scripts are
// exempt.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages(t, "") {
		if path := p.path(); path != "." && !strings.HasPrefix(path, "scripts/") && !strings.Contains(string(text), "`"+path+"`") {
			t.Errorf("ARCHITECTURE.md does not name `%s`", path)
		}
	}
}

// TestLicenses fails when the licence of a linked module, or of a package of the web
// application, is not shown.
func TestLicenses(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/ptiffstore").Output()
	if err != nil {
		t.Fatal(err)
	}
	for module := range strings.Lines(string(out)) {
		if module = strings.TrimSpace(module); module != "" && !strings.Contains(licenses.Licenses, "\n== "+module+"\n") {
			t.Errorf("the licence of %s is not shown: run make licenses", module)
		}
	}
	for _, library := range []string{"libjpeg-turbo", "OpenJPEG", "GNU C Library"} {
		if !strings.Contains(licenses.Licenses, "\n== "+library+" ") {
			t.Errorf("the licence of %s is not shown: run make licenses", library)
		}
	}
	var webapp struct{ Dependencies map[string]string }
	b, err := os.ReadFile("webapp/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &webapp); err != nil {
		t.Fatal(err)
	}
	for name, version := range webapp.Dependencies {
		if !strings.Contains(licenses.Licenses, "\n== "+name+" "+version+"\n") {
			t.Errorf("the licence of %s %s is not shown: run make licenses", name, version)
		}
	}
}

// packages returns all packages of the module, also those that do not compile.
func packages(t *testing.T, tags string) []*goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", tags, "-json=ImportPath,Doc,Imports,Deps", "./...")
	if tags == "native" {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []*goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(goPackage)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
