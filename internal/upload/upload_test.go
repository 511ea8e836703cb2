package upload_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/upload"
)

func TestUpload(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(300_000)
	url := s.begin(patient+".tiff", len(file), "sha256", hexSum(file))
	if a := s.ask("HEAD", url, nil); a.status != 200 || a.offset() != "0" || a.header.Get("Upload-Length") != "300000" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Upload-Expires") == "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := s.patch(url, 0, file[:100_000]); a.status != 204 || a.offset() != "100000" {
		t.Fatalf("PATCH: %d %s %s", a.status, a.offset(), a.body)
	}
	if got := s.incoming(); len(got) > 0 {
		t.Errorf("half a file is shown to the store: %q", got)
	}
	if v := s.show(url); v.State != "uploading" || v.Offset != 100_000 || v.Image != nil {
		t.Errorf("half way: %+v", v)
	}
	if a := s.patch(url, 100_000, file[100_000:]); a.status != 204 || a.offset() != "300000" {
		t.Fatalf("PATCH: %d %s %s", a.status, a.offset(), a.body)
	}
	s.arrived(patient+".tiff", file)
	v := s.show(url)
	if v.State != "received" || *v.SHA256 != hexSum(file) || *v.FileName != patient+".tiff" || *v.Verdict != "broken" || *v.Reason == "" {
		t.Errorf("at the end: %+v", v)
	}
	if a := s.ask("HEAD", url, nil); a.status != 200 || a.offset() != "300000" {
		t.Errorf("HEAD at the end: %d %v", a.status, a.header)
	}
	if a := s.patch(url, 300_000, nil); a.status != 204 {
		t.Errorf("PATCH of nothing at the end: %d %s", a.status, a.body)
	}
	if a := s.ask("DELETE", url, nil); a.status != 204 {
		t.Errorf("DELETE at the end: %d %s", a.status, a.body)
	}
	s.arrived(patient+".tiff", file)
}

// Refused requests get an error for people, and nothing is kept.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{MaxSize: 1 << 20})
	meta := func(pairs ...string) string { return metadata(append(pairs, "store", s.store.ID)...) }
	tests := []struct {
		name   string
		header []string
		want   int
	}{
		{"no version", []string{"Tus-Resumable", ""}, 412},
		{"another version", []string{"Tus-Resumable", "0.2.2"}, 412},
		{"no length", []string{"Upload-Length", ""}, 400},
		{"length no number", []string{"Upload-Length", "ten"}, 400},
		{"length with a sign", []string{"Upload-Length", "+10"}, 400},
		{"length below zero", []string{"Upload-Length", "-1"}, 400},
		{"length beyond numbers", []string{"Upload-Length", "99999999999999999999"}, 400},
		{"empty file", []string{"Upload-Length", "0"}, 400},
		{"too large", []string{"Upload-Length", "1048577"}, 413},
		{"length later", []string{"Upload-Length", "", "Upload-Defer-Length", "1"}, 400},
		{"in parts", []string{"Upload-Concat", "partial"}, 400},
		{"no metadata", []string{"Upload-Metadata", ""}, 400},
		{"no store", []string{"Upload-Metadata", metadata("filename", "a.tiff")}, 400},
		{"unknown store", []string{"Upload-Metadata", metadata("filename", "a.tiff", "store", "elsewhere")}, 404},
		{"in-place store", []string{"Upload-Metadata", metadata("filename", "a.tiff", "store", s.inPlace.ID)}, 403},
		{"may not", []string{"Authorization", "nobody"}, 403},
		{"no name", []string{"Upload-Metadata", meta()}, 400},
		{"a name of dots", []string{"Upload-Metadata", meta("filename", "../..")}, 400},
		{"no slide's name", []string{"Upload-Metadata", meta("filename", "a.docx")}, 422},
		{"an unfinished file's name", []string{"Upload-Metadata", meta("filename", "a.tiff.part")}, 422},
		{"digest of another length", []string{"Upload-Metadata", meta("filename", "a.tiff", "sha256", "abc")}, 400},
		{"metadata not in base64", []string{"Upload-Metadata", "filename a.tiff"}, 400},
		{"one name twice", []string{"Upload-Metadata", meta("filename", "a.tiff", "filename", "b.tiff")}, 400},
		{"bytes of another type", []string{"Content-Type", "image/tiff"}, 415},
		{"another checksum's algorithm", []string{"Upload-Checksum", "crc32 AAAA"}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := append([]string{"Upload-Length", "10", "Upload-Metadata", meta("filename", patient+".tiff")}, tt.header...)
			checkProblem(t, s.ask("POST", upload.Route, strings.NewReader("x"), header...), tt.want)
			if entries, _ := os.ReadDir(filepath.Join(s.store.Incoming, ".ptiffstore-uploads")); len(entries) > 0 {
				t.Errorf("something is kept: %v", entries)
			}
		})
	}
}

func checkProblem(t *testing.T, a answer, status int) {
	t.Helper()
	var p struct{ Detail string }
	err := json.Unmarshal([]byte(a.body), &p)
	if a.status != status || err != nil || !strings.HasSuffix(p.Detail, ".") || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %s %q: want a problem of status %d in words", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	if strings.Contains(a.body, patient) || strings.Contains(a.body, os.TempDir()) {
		t.Errorf("%q names a file", a.body)
	}
	if a.header.Get("Tus-Resumable") != "1.0.0" {
		t.Error("no Tus-Resumable")
	}
}

func TestRefusedChunks(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	url := s.begin("a.tiff", 100)
	if a := s.patch(url, 0, noise(10)); a.status != 204 {
		t.Fatal(a)
	}
	right := func(b []byte) string {
		sum := sha1.Sum(b)
		return "sha1 " + base64.StdEncoding.EncodeToString(sum[:])
	}
	tests := []struct {
		name   string
		header []string
		body   int
		want   int
	}{
		{"another version", []string{"Tus-Resumable", "2.0.0"}, 10, 412},
		{"another type", []string{"Content-Type", "application/octet-stream"}, 10, 415},
		{"no offset", []string{"Upload-Offset", ""}, 10, 400},
		{"offset below zero", []string{"Upload-Offset", "-1"}, 10, 400},
		{"offset before", []string{"Upload-Offset", "0"}, 10, 409},
		{"offset behind", []string{"Upload-Offset", "11"}, 10, 409},
		{"more than there is", nil, 91, 413},
		{"wrong checksum", []string{"Upload-Checksum", right([]byte("other"))}, 10, 460},
		{"checksum of another length", []string{"Upload-Checksum", "sha1 AAAA"}, 10, 400},
		{"checksum of no algorithm", []string{"Upload-Checksum", "md5 AAAA"}, 10, 400},
		{"somebody else's", []string{"Authorization", "eve"}, 10, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkProblem(t, s.patch(url, 10, noise(tt.body), tt.header...), tt.want)
			if a := s.ask("HEAD", url, nil); a.offset() != "10" {
				t.Errorf("offset %s, want 10", a.offset())
			}
		})
	}
	// A body of unknown length is too long if it continues after the expected end.
	a := s.ask("PATCH", url, io.MultiReader(bytes.NewReader(noise(95))), "Content-Type", chunk, "Upload-Offset", "10")
	checkProblem(t, a, 413)
	if a := s.ask("HEAD", url, nil); a.offset() != "10" {
		t.Errorf("offset %s after too much, want 10", a.offset())
	}
	for _, unknown := range []string{strings.Repeat("a", 26), "x", "..%2f..%2fetc", strings.Repeat("a", 300)} {
		checkProblem(t, s.patch(upload.Route+"/"+unknown, 0, nil), 404)
		if a := s.ask("HEAD", upload.Route+"/"+unknown, nil); a.status != 404 {
			t.Errorf("HEAD of an unknown one: %d", a.status)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{MaxSize: 1000})
	a := s.ask("OPTIONS", upload.Route, nil, "Tus-Resumable", "")
	got := map[string]string{}
	for _, h := range []string{"Tus-Resumable", "Tus-Version", "Tus-Max-Size", "Tus-Extension", "Tus-Checksum-Algorithm"} {
		got[h] = a.header.Get(h)
	}
	want := map[string]string{
		"Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0", "Tus-Max-Size": "1000",
		"Tus-Extension": "creation,creation-with-upload,checksum,expiration,termination", "Tus-Checksum-Algorithm": "sha1,sha256",
	}
	if d := cmp.Diff(want, got); d != "" || a.status != 204 {
		t.Errorf("status %d (-want +got):\n%s", a.status, d)
	}
}

func TestCreationWithUpload(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1000)
	m := metadata("filename", "a.tiff", "store", s.store.ID)
	a := s.ask("POST", upload.Route, bytes.NewReader(file[:400]), "Upload-Length", "1000", "Upload-Metadata", m, "Content-Type", chunk)
	if a.status != 201 || a.offset() != "400" {
		t.Fatalf("%d %s %s", a.status, a.offset(), a.body)
	}
	if a := s.patch(a.header.Get("Location"), 400, file[400:]); a.status != 204 {
		t.Fatal(a)
	}
	s.arrived("a.tiff", file)
	a = s.ask("POST", upload.Route, bytes.NewReader(file), "Upload-Length", "1000", "Upload-Metadata", m, "Content-Type", chunk)
	if a.status != 201 || a.offset() != "1000" {
		t.Fatalf("%d %s %s", a.status, a.offset(), a.body)
	}
	s.arrived("a (2).tiff", file)
	sum := sha256.Sum256(nil)
	a = s.ask("POST", upload.Route, bytes.NewReader(file[:400]), "Upload-Length", "1000", "Upload-Metadata", m, "Content-Type", chunk,
		"Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(sum[:]))
	checkProblem(t, a, 460)
	if got := s.hidden(); len(got) != 2 {
		t.Errorf("%q is kept, want the records of two", got)
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1000)
	url := s.begin("a.tiff", 1000)
	one, two := sha1.Sum(file[:400]), sha256.Sum256(file[400:])
	if a := s.patch(url, 0, file[:400], "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(one[:])); a.status != 204 {
		t.Fatal(a)
	}
	if a := s.patch(url, 400, file[401:], "Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(two[:])); a.status != 460 {
		t.Fatal(a)
	}
	if a := s.patch(url, 400, file[400:], "Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(two[:])); a.status != 204 {
		t.Fatal(a)
	}
	s.arrived("a.tiff", file)
	if v := s.show(url); *v.SHA256 != hexSum(file) {
		t.Errorf("SHA-256 %s after a chunk that was taken back", *v.SHA256)
	}
}

// A file without the promised digest leaves neither bytes nor its name.
func TestWrongDigest(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1000)
	url := s.begin(patient+".tiff", 1000, "sha256", hexSum(nil))
	checkProblem(t, s.patch(url, 0, file), 422)
	if got := s.incoming(); len(got) > 0 {
		t.Errorf("the store has %q", got)
	}
	for _, name := range s.hidden() {
		b, _ := os.ReadFile(filepath.Join(s.store.Incoming, ".ptiffstore-uploads", name))
		if bytes.Contains(b, []byte("MUSTER")) || strings.HasSuffix(name, ".part") {
			t.Errorf("%s: %s is kept", name, b)
		}
	}
	if v := s.show(url); v.State != "refused" || !strings.Contains(*v.Reason, "SHA-256") {
		t.Errorf("%+v", v)
	}
	if a := s.ask("HEAD", url, nil); a.status != 422 {
		t.Errorf("HEAD: %d", a.status)
	}
	checkProblem(t, s.patch(url, 1000, nil), 422)
}

func TestMethodOverride(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1000)
	url := s.begin("a.tiff", 1000)
	a := s.ask("POST", url, bytes.NewReader(file[:500]), "X-HTTP-Method-Override", "PATCH", "Content-Type", chunk, "Upload-Offset", "0")
	if a.status != 204 || a.offset() != "500" {
		t.Fatal(a)
	}
	if a := s.ask("POST", url, nil, "X-HTTP-Method-Override", "HEAD"); a.status != 200 || a.offset() != "500" {
		t.Error(a)
	}
	// A page of another site can send a GET, which must not be overridden.
	if a := s.ask("GET", url, nil, "X-HTTP-Method-Override", "DELETE", "Sec-Fetch-Site", "cross-site"); a.status != 200 {
		t.Error(a)
	}
	if a := s.ask("POST", url, nil, "X-HTTP-Method-Override", "DELETE", "Sec-Fetch-Site", "cross-site"); a.status != 403 {
		t.Error(a)
	}
	if a := s.ask("POST", url, nil); a.status != 405 {
		t.Error(a)
	}
	if a := s.ask("POST", url, nil, "X-HTTP-Method-Override", "DELETE"); a.status != 204 {
		t.Error(a)
	}
	if a := s.ask("HEAD", url, nil); a.status != 404 {
		t.Error(a)
	}
	if got := s.hidden(); len(got) > 0 {
		t.Errorf("%q is left", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 200)
	tests := []struct{ name, want string }{
		{"../../etc/cron.d/a.tiff", "a.tiff"},
		{`C:\scans\a.tiff`, "a.tiff"},
		{"...a.tiff", "a.tiff"},
		{"~$a.tiff", "$a.tiff"},
		{" . ~ a.tiff ", "a.tiff"},
		{"a\x00b\nc\x7f\u202egnp.tiff", "abcgnp.tiff"},
		{"a\xffb.tiff", "a\uFFFDb.tiff"},
		{long + ".tiff", strings.Repeat("ä", 117) + ".tiff"},
		{"-rf *.tiff", "-rf *.tiff"},
		{"Müller 3/a b.TIFF", "a b.TIFF"},
	}
	s := newSite(t, upload.Options{})
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			want := tt.want
			url := s.begin(tt.name, 3)
			if a := s.patch(url, 0, []byte("abc")); a.status != 204 {
				t.Fatal(a)
			}
			got := *s.show(url).FileName
			if n := strings.Index(got, " (2)"); n >= 0 {
				got = got[:n] + got[n+4:] // an earlier file has the name
			} else if n := strings.Index(got, " ("); n >= 0 {
				got = got[:n] + ".tiff"
			}
			if got != want {
				t.Errorf("%q becomes %q, want %q", tt.name, got, want)
			}
			s.arrived(*s.show(url).FileName, []byte("abc"))
		})
	}
}

// Files of the same name are numbered, and none replaces another.
func TestSameName(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	for i := range 3 {
		url := s.begin("a.tiff", 1)
		if a := s.patch(url, 0, []byte{byte(i)}); a.status != 204 {
			t.Fatal(a)
		}
	}
	s.arrived("a.tiff", []byte{0})
	s.arrived("a (2).tiff", []byte{1})
	s.arrived("a (3).tiff", []byte{2})
}

// Received bytes are still there after a restart, and the upload resumes.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(5000)
	url := s.begin("a.tiff", 5000, "sha256", hexSum(file))
	for off := 0; off < 5000; off += 1000 {
		if a := s.patch(url, off, file[off:off+1000]); a.status != 204 || a.offset() != strconv.Itoa(off+1000) {
			t.Fatal(a)
		}
		s.serve(upload.Options{})
	}
	s.arrived("a.tiff", file)
}

// Bytes that were written and not acknowledged are discarded, as after a crash of the
// machine.
func TestTornTail(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1000)
	url := s.begin("a.tiff", 1000, "sha256", hexSum(file))
	s.patch(url, 0, file[:300])
	part := s.partOf(url)
	f, err := os.OpenFile(part, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(make([]byte, 200))
	f.Close()
	if a := s.ask("HEAD", url, nil); a.offset() != "300" {
		t.Errorf("offset %s, want 300", a.offset())
	}
	if a := s.patch(url, 300, file[300:]); a.status != 204 {
		t.Fatal(a)
	}
	s.arrived("a.tiff", file)
	// Acknowledged bytes that are lost cause an error.
	url = s.begin("b.tiff", 1000)
	s.patch(url, 0, file[:300])
	if err := os.Truncate(s.partOf(url), 299); err != nil {
		t.Fatal(err)
	}
	checkProblem(t, s.patch(url, 300, file[300:]), 410)
}

func (s *site) partOf(url string) string {
	return filepath.Join(s.store.Incoming, ".ptiffstore-uploads", filepath.Base(url)+".part")
}

func TestExpiration(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{Keep: 300 * time.Millisecond})
	old := s.begin("a.tiff", 1000)
	if a := s.ask("HEAD", old, nil); a.status != 200 {
		t.Fatal(a)
	}
	time.Sleep(400 * time.Millisecond)
	if a := s.ask("HEAD", old, nil); a.status != 404 {
		t.Errorf("HEAD of an expired one: %d", a.status)
	}
	orphan := filepath.Join(s.store.Incoming, ".ptiffstore-uploads", strings.Repeat("q", 26)+".part")
	if err := os.WriteFile(orphan, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(orphan, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.uploads.Run(ctx); close(done) }()
	s.until("all that expired is removed", func() bool { return len(s.hidden()) == 0 })
	cancel()
	<-done
}

// If the disk of the incoming folder is not mounted, uploads are refused, and existing
// ones are not reported as unknown.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	url := s.begin("a.tiff", 10)
	marker := filepath.Join(s.store.Incoming, ".ptiffstore-store")
	if err := os.Rename(marker, marker+"x"); err != nil {
		t.Fatal(err)
	}
	checkProblem(t, s.patch(url, 0, noise(10)), 503)
	checkProblem(t, s.ask("POST", upload.Route, nil, "Upload-Length", "10", "Upload-Metadata", metadata("filename", "a.tiff", "store", s.store.ID)), 503)
	if err := os.Rename(marker+"x", marker); err != nil {
		t.Fatal(err)
	}
	if a := s.patch(url, 0, noise(10)); a.status != 204 {
		t.Error(a)
	}
}

// A link in the place of the hidden folder is not followed.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(s.store.Incoming, ".ptiffstore-uploads")); err != nil {
		t.Fatal(err)
	}
	a := s.ask("POST", upload.Route, nil, "Upload-Length", "10", "Upload-Metadata", metadata("filename", "a.tiff", "store", s.store.ID))
	if a.status != http.StatusInternalServerError {
		t.Error(a)
	}
	if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
		t.Errorf("it wrote through a link: %v", entries)
	}
}
