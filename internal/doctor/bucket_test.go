package doctor

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/s3test"
)

// Each problem of a bucket is found, with what to do about it, and no finding has a secret or
// the key of an object.
func TestBucket(t *testing.T) {
	server := s3test.New(t)
	s3test.Env(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	server.Put(t, name, "slides/MUSTER^ERIKA.tiff", []byte("contents"))
	server.Put(t, name, "managed/.ptiffstore-store", []byte("s1\n"))
	server.Put(t, name, "other/.ptiffstore-store", []byte("s2\n"))
	clock := func(d time.Duration) func(*http.Response) {
		return func(r *http.Response) { r.Header.Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat)) }
	}
	none := s3test.Fault{Kind: "none"}
	for _, tt := range []struct {
		name     string
		root     string // the folder slides if it is ""
		mode     catalog.Mode
		endpoint string // the server's if it is ""
		fault    s3test.Fault
		level    Level // the worst
		text     string
	}{
		{name: "in order", fault: none, level: OK, text: "not with a wrong ETag"},
		{name: "managed", root: "s3://" + name + "/managed/", mode: catalog.Managed, fault: none, level: OK, text: "written and deleted"},
		{name: "no marker", mode: catalog.Managed, fault: none, level: Wrong, text: "no object .ptiffstore-store"},
		{name: "marker of another store", root: "s3://" + name + "/other/", mode: catalog.Managed, fault: none, level: Wrong, text: "another store"},
		{name: "read only", root: "s3://" + name + "/managed/", mode: catalog.Managed, fault: s3test.Fault{Kind: "put", Status: 403, Code: "AccessDenied"}, level: Wrong, text: "s3:PutObject"},
		{name: "empty", root: "s3://" + name + "/none/", fault: none, level: Unknown, text: "no objects"},
		{name: "no bucket", root: "s3://no-such-bucket/", fault: none, level: Wrong, text: "no such bucket"},
		{name: "no permission to list", fault: s3test.Fault{Kind: "list", Status: 403, Code: "AccessDenied"}, level: Wrong, text: "s3:ListBucket"},
		{name: "no permission to read", fault: s3test.Fault{Kind: "get", Status: 403, Code: "AccessDenied"}, level: Wrong, text: "s3:GetObject"},
		{name: "slow clock", fault: s3test.Fault{Kind: "list", Change: clock(-2 * time.Minute)}, level: Warning, text: "behind this machine's"},
		{name: "fast clock", fault: s3test.Fault{Kind: "list", Change: clock(20 * time.Minute)}, level: Wrong, text: "ahead of this machine's"},
		{name: "refused connections", endpoint: "http://127.0.0.1:1", fault: none, level: Wrong, text: "accepts no connection"},
		{name: "wrong endpoint", endpoint: "nonsense", fault: none, level: Wrong, text: "is not a URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy.Set(tt.fault)
			e := &examination{Site: Site{Bucket: bucket.Settings{Endpoint: cmp.Or(tt.endpoint, proxy.URL), PathStyle: true}}}
			n := &notes{name: "store"}
			e.inBucket(t.Context(), n, &catalog.Store{ID: "s1", Kind: catalog.S3, Mode: cmp.Or(tt.mode, catalog.InPlace), Root: cmp.Or(tt.root, "s3://"+name+"/slides/")})
			worst, text := OK, ""
			order := []Level{OK, Unknown, Warning, Wrong}
			for _, f := range n.close() {
				if slices.Index(order, f.Level) > slices.Index(order, worst) {
					worst = f.Level
				}
				text += f.Message + "\n  " + f.Fix + "\n"
			}
			if worst != tt.level || !strings.Contains(text, tt.text) {
				t.Errorf("%s, want %s with %q:\n%s", worst, tt.level, tt.text, text)
			}
			for _, private := range []string{s3test.SecretKey, s3test.AccessKey, "MUSTER"} {
				if strings.Contains(text, private) {
					t.Errorf("%q is in the findings:\n%s", private, text)
				}
			}
		})
	}
}
