package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// patient begins the names of files, as in hospitals. It must not be in any log.
const patient = "MUSTER^ERIKA"

// A site is a server of uploads with a managed and an in-place store.
type site struct {
	t       *testing.T
	url     string
	client  *http.Client
	c       *catalog.Catalog
	uploads *upload.Uploads
	store   *catalog.Store // managed
	inPlace *catalog.Store
	log     *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t *testing.T, o upload.Options) *site { return newSiteIn(t, realDir(t), o) }

// newSiteIn is newSite with the store below a folder.
func newSiteIn(t *testing.T, dir string, o upload.Options) *site {
	t.Helper()
	c := catalogtest.Open(t, filepath.Join(realDir(t), "catalog.db"))
	s := &site{t: t, c: c, client: &http.Client{Transport: &http.Transport{}}, log: &logBuffer{}}
	add := func(st catalog.Store) *catalog.Store {
		if err := os.MkdirAll(st.Root, 0o755); err != nil {
			t.Fatal(err)
		}
		put, err := managed.AddStore(context.Background(), c, st)
		if err != nil {
			t.Fatal(err)
		}
		return put
	}
	s.store = add(catalog.Store{Label: "archive", Mode: catalog.Managed, Root: filepath.Join(dir, "archive")})
	s.inPlace = add(catalog.Store{Label: "scanner", Mode: catalog.InPlace, Root: filepath.Join(dir, "scanner")})
	s.serve(o)
	return s
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serve starts a server, as after a restart.
func (s *site) serve(o upload.Options) {
	s.t.Helper()
	o.Catalog, o.Log = s.c, slog.New(slog.NewTextHandler(s.log, nil))
	if o.Caller == nil {
		o.Caller = func(r *http.Request, _ *catalog.Store) (string, error) {
			if r.Header.Get("Authorization") == "nobody" {
				return "", &httperr.Error{Status: http.StatusForbidden, Detail: "You may not."}
			}
			return r.Header.Get("Authorization"), nil
		}
	}
	if o.Reserve == 0 {
		o.Reserve = 1
	}
	s.uploads = upload.New(o)
	mux := http.NewServeMux()
	s.uploads.Register(mux)
	server := httptest.NewServer(http.NewCrossOriginProtection().Handler(httperr.WithRequestID(mux)))
	s.url = server.URL
	s.t.Cleanup(func() {
		s.client.CloseIdleConnections()
		server.Close()
		if strings.Contains(s.log.String(), patient) {
			s.t.Errorf("the log names a patient: %s", s.log)
		}
	})
}

// An answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) offset() string { return a.header.Get("Upload-Offset") }

// ask sends a request of the protocol. Header holds names and values alternately; an
// empty value omits the header.
func (s *site) ask(method, url string, body io.Reader, header ...string) answer {
	s.t.Helper()
	a, err := s.try(method, url, body, header...)
	if err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	return a
}

func (s *site) try(method, url string, body io.Reader, header ...string) (answer, error) {
	if !strings.HasPrefix(url, "http") {
		url = s.url + url
	}
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func metadata(pairs ...string) string {
	var list []string
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(list, ",")
}

const chunk = "application/offset+octet-stream"

// begin creates an upload, and returns its address.
func (s *site) begin(name string, length int, more ...string) string {
	s.t.Helper()
	m := metadata(append([]string{"filename", name, "store", s.store.ID}, more...)...)
	a := s.ask("POST", upload.Route, nil, "Upload-Length", strconv.Itoa(length), "Upload-Metadata", m)
	if a.status != http.StatusCreated {
		s.t.Fatalf("creation: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

func (s *site) patch(url string, offset int, body []byte, header ...string) answer {
	s.t.Helper()
	return s.ask("PATCH", url, bytes.NewReader(body), append([]string{"Content-Type", chunk, "Upload-Offset", strconv.Itoa(offset)}, header...)...)
}

func (s *site) show(url string) (v upload.View) {
	s.t.Helper()
	a := s.ask("GET", url, nil)
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("GET: %d %s", a.status, a.body)
	}
	return v
}

// arrived expects a file in the incoming folder to hold these bytes.
func (s *site) arrived(name string, want []byte) {
	s.t.Helper()
	got, err := os.ReadFile(filepath.Join(s.store.Incoming, name))
	if err != nil || !bytes.Equal(got, want) {
		s.t.Errorf("%s: %d bytes, %v; want the %d that were sent", name, len(got), err, len(want))
	}
}

// incoming lists the incoming folder, and hidden the uploads in it.
func (s *site) incoming() []string { return s.list("") }
func (s *site) hidden() []string   { return s.list(".ptiffstore-uploads") }

func (s *site) list(dir string) (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.store.Incoming, dir))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if dir != "" || !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// until waits for a condition.
func (s *site) until(what string, f func() bool) {
	s.t.Helper()
	for began := time.Now(); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			s.t.Fatalf("%s: not in time. Log: %s", what, s.log)
		}
	}
}

// noise is n bytes that are the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func itoa(n int) string { return strconv.Itoa(n) }

// atoi parses a header's number; -1 without one.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
