package api_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// original returns a site with a slide, its id, its file's content and its revision in quotes.
func original(t *testing.T) (st *site, path string, file []byte, tag string) {
	t.Helper()
	st = newSite(t)
	id := st.slides(map[string]synth.Philips{"Müller 1.tiff": {Label: true}})["Müller 1.tiff"]
	file, err := os.ReadFile(st.path("slides/Müller 1.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	im, err := st.api.Catalog.Images.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return st, "/api/v1/images/" + id + "/file", file, `"` + im.Revision + `"`
}

func TestOriginalFile(t *testing.T) {
	st, path, file, tag := original(t)
	size := strconv.Itoa(len(file))
	end := len(file) - 1
	for _, tt := range []struct {
		name   string
		header []string
		status int
		want   []byte
		ranges string // Content-Range
	}{
		{"whole", nil, 200, file, ""},
		{"a range", []string{"Range", "bytes=100-299"}, 206, file[100:300], "bytes 100-299/" + size},
		{"the end", []string{"Range", "bytes=-100"}, 206, file[len(file)-100:], "bytes " + strconv.Itoa(len(file)-100) + "-" + strconv.Itoa(end) + "/" + size},
		{"beyond the end", []string{"Range", "bytes=1000-99999999999"}, 206, file[1000:], "bytes 1000-" + strconv.Itoa(end) + "/" + size},
		{"reversed", []string{"Range", "bytes=300-100"}, 200, file, ""},
		{"outside", []string{"Range", "bytes=" + size + "-"}, 416, nil, "bytes */" + size},
		{"overlapping by the thousand", []string{"Range", "bytes=0-" + strings.Repeat(",0-", 2000)}, 416, nil, "bytes */" + size},
		{"if this revision", []string{"Range", "bytes=0-9", "If-Range", tag}, 206, file[:10], "bytes 0-9/" + size},
		{"if an old revision", []string{"Range", "bytes=0-9", "If-Range", `"old"`}, 200, file, ""},
		{"if since a date", []string{"Range", "bytes=0-9", "If-Range", "Mon, 30 Nov 2026 10:00:00 GMT"}, 200, file, ""},
		{"not modified", []string{"If-None-Match", tag}, 304, nil, ""},
		{"if it is an old revision", []string{"If-Match", `"old"`}, 412, nil, ""},
		{"if it is this revision", []string{"If-Match", tag}, 200, file, ""},
	} {
		a := st.get(path, tt.header...)
		if a.status != tt.status || tt.want != nil && !bytes.Equal(a.body, tt.want) || a.header.Get("Content-Range") != tt.ranges {
			t.Errorf("%s: %d with %d bytes, Content-Range %q; want %d with %d, %q", tt.name, a.status, len(a.body), a.header.Get("Content-Range"), tt.status, len(tt.want), tt.ranges)
		}
		if tt.status < 400 && (a.header.Get("ETag") != tag || a.header.Get("Accept-Ranges") != "bytes") {
			t.Errorf("%s: ETag %q, Accept-Ranges %q", tt.name, a.header.Get("ETag"), a.header.Get("Accept-Ranges"))
		}
	}
	a := st.ask("HEAD", path, "")
	if _, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition")); a.status != 200 || len(a.body) != 0 || a.header.Get("Content-Length") != size || a.header.Get("Content-Type") != "image/tiff" || err != nil || params["filename"] != "Müller 1.tiff" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := st.get(path + "?v=old"); a.status != 404 {
		t.Errorf("an old revision: %d, want 404", a.status)
	}
}

// Several ranges are one body with a part for each.
func TestOriginalRanges(t *testing.T) {
	st, path, file, _ := original(t)
	a := st.get(path, "Range", "bytes=500-599,0-9,-20")
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || a.status != 206 || kind != "multipart/byteranges" || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Fatalf("%d %v, %v", a.status, a.header, err)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][]byte{file[500:600], file[:10], file[len(file)-20:]} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, want) {
			t.Errorf("part %s: %d bytes, want %d (%v)", part.Header.Get("Content-Range"), len(got), len(want), err)
		}
	}
}

// If the file changes, shrinks or is replaced while it is sent, the connection is closed: the client
// never gets bytes of two files as one.
func TestOriginalChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written to": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("changed"), 100)
			return errors.Join(err, f.Close())
		},
		"truncated": func(path string) error { return os.Truncate(path, 3<<20) },
		"removed":   os.Remove, // its link count is part of ctime
	} {
		st := newSite(t)
		id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
		// The rest of the file is larger than what the buffers of a connection take.
		file := st.path("slides/a.tiff")
		if err := os.Truncate(file, 64<<20); err != nil {
			t.Fatal(err)
		}
		if id2 := st.slides(nil)["a.tiff"]; id2 != "" {
			id = id2
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", st.url+"/api/v1/images/"+id+"/file", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			t.Fatalf("%s: status %d", name, resp.StatusCode)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := change(file); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err == nil || n+1<<20 == 64<<20 {
			t.Errorf("%s: %d bytes of %d, %v; want an error", name, n+1<<20, 64<<20, err)
		}
		resp.Body.Close()
	}
}

// Only callers with the scope file get the file, and only admins where labels are hidden. The audit
// log has one entry for the requests of a program that reads it by ranges.
func TestOriginalAccess(t *testing.T) {
	g := newGuardedSite(t)
	g.person("downloader", "correct horse d", account.Grant{Role: account.Downloader, Store: g.store})
	path := "/api/v1/images/" + g.slide + "/file"
	for role, want := range map[string]int{"stranger": 401, "viewer": 403, "reader": 403, "contributor": 403, "outsider": 403, "downloader": 200, "admin": 200} {
		a := g.as(role, "GET", path, "", "Range", "bytes=0-")
		if want == 200 {
			want = 206
		}
		if a.status != want {
			t.Errorf("%s: %d, want %d", role, a.status, want)
		}
		if a.status >= 400 && (bytes.Contains(a.body, []byte(canary)) || strings.Contains(a.header.Get("Content-Disposition"), canary)) {
			t.Errorf("%s: the answer has the name: %s", role, a.body)
		}
	}
	for range 5 {
		g.as("downloader", "GET", path, "", "Range", "bytes=0-9")
	}
	events, _, err := g.people.Audit.List(t.Context(), account.EventFilter{Act: "image.download", Limit: 50}, "")
	if err != nil || len(events) != 2 {
		t.Errorf("the audit log has %d entries, want 2 (%v)", len(events), err)
	}
	if a := g.as("downloader", "GET", "/api/v1/images/"+g.away+"/file", ""); a.status != 403 {
		t.Errorf("a slide of another store: %d, want 403", a.status)
	}
	if _, err := g.api.Catalog.Stores.Update(t.Context(), g.store, func(s *catalog.Store) error { s.HideLabels = true; return nil }); err != nil {
		t.Fatal(err)
	}
	g.load()
	for role, want := range map[string]int{"downloader": 403, "admin": 200} {
		if a := g.as(role, "GET", path, ""); a.status != want {
			t.Errorf("%s, with hidden labels: %d, want %d", role, a.status, want)
		}
	}
}
