package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A running is a server in this process.
type running struct {
	t      *testing.T
	url    string // without a trailing slash
	client *http.Client
	cancel context.CancelFunc
	ended  chan int
	out    io.Reader // standard output after the first line
	log    *logBuffer
}

// A logBuffer is the standard error of a server.
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

// soon is how long tests wait for a condition, on a busy machine.
const soon = 2 * time.Minute

var urlLine = regexp.MustCompile(`^http://127\.0\.0\.1:\d+/\n$`)

// start runs a mode with the arguments and --listen, and waits for its URL.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startOn(t, "127.0.0.1:0", urlLine, args...)
}

// startOn is start with an address to listen on, and the pattern of the first line that the
// mode prints.
func startOn(t *testing.T, address string, line *regexp.Regexp, args ...string) *running {
	t.Helper()
	mustBeServerTest(t)
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	s := &running{t: t, client: &http.Client{Transport: &http.Transport{}}, cancel: cancel, ended: make(chan int, 1), log: &logBuffer{}}
	go func() {
		code := run(ctx, append(args, "--listen", address), streams{out: write, err: s.log})
		write.Close()
		s.ended <- code
	}()
	lines := bufio.NewReader(read)
	first := make(chan string, 1)
	go func() {
		line, _ := lines.ReadString('\n') // shorter if the server ended
		first <- line
	}()
	select {
	case got := <-first:
		if !line.MatchString(got) {
			t.Fatalf("the first line on standard output is %q, want %s; %s", got, line, s.log)
		}
		s.url = strings.TrimSuffix(got, "/\n")
	case <-time.After(soon):
		t.Fatalf("no URL after %v: %s", soon, s.log)
	}
	s.out = lines
	t.Cleanup(func() {
		if s.ended != nil {
			s.stop()
		}
	})
	return s
}

// stop ends the server. It fails the test if the server returns an error, prints more on
// standard output, or logs a patient's name.
func (s *running) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case code := <-s.ended:
		if code != exitOK {
			s.t.Errorf("it ended with exit code %d: %s", code, s.log)
		}
	case <-time.After(soon):
		s.t.Fatalf("it has not ended %v after it was asked to", soon)
	}
	s.ended = nil
	s.client.CloseIdleConnections()
	if more, _ := io.ReadAll(s.out); len(more) > 0 {
		s.t.Errorf("more than the URL on standard output: %q", more)
	}
	for _, private := range []string{patient, "S-12", "S-13"} {
		if strings.Contains(s.log.String(), private) {
			s.t.Errorf("the log has %q, which is patient data: %s", private, s.log)
		}
	}
}

// patient begins the names of files in these tests, as it does in hospitals.
const patient = "MUSTER^ERIKA"

// An answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a path of the server. Header has alternating names and values, and
// may set Host.
func (s *running) ask(method, path string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (s *running) get(path string, header ...string) answer {
	s.t.Helper()
	return s.ask("GET", path, header...)
}

// imageJSON has the fields of an image that these tests read.
type imageJSON struct {
	ID       string
	Store    string
	Revision string
	State    string
	Reason   *string
	FileName string  `json:"file_name"`
	TileURL  *string `json:"tile_url"`
	MaxZoom  *int    `json:"max_zoom"`
}

// images returns all images by the names of their files.
func (s *running) images() map[string]imageJSON {
	s.t.Helper()
	a := s.get("/api/v1/images?limit=500")
	var page struct{ Items []imageJSON }
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("list of images: status %d, %v: %s", a.status, err, a.body)
	}
	m := map[string]imageJSON{}
	for _, im := range page.Items {
		m[im.FileName] = im
	}
	return m
}

// until waits for a condition, and fails the test if it does not become true.
func (s *running) until(what string, f func() bool) {
	s.t.Helper()
	for began := time.Now(); !f(); time.Sleep(50 * time.Millisecond) { // each check takes the server some milliseconds
		if time.Since(began) > soon {
			s.t.Fatalf("%s: not within %v. Log: %s", what, soon, s.log)
		}
	}
}

// available waits until a file is available and, a moment later, its tiles are served. It
// returns the image.
func (s *running) available(name string) (im imageJSON) {
	s.t.Helper()
	s.until(name+" available", func() bool {
		im = s.images()[name]
		return im.State == "available" && s.get("/api/v1/images/"+im.ID+"/tiles/0/0/0?v="+im.Revision).status == http.StatusOK
	})
	return im
}

// state waits until the file's image is in a state.
func (s *running) state(name, want string) {
	s.t.Helper()
	s.until(name+" "+want, func() bool { return s.images()[name].State == want })
}

// slidesIn copies slides into a new folder.
func slidesIn(t *testing.T, files map[string]*slideFile) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if err := os.WriteFile(filepath.Join(dir, name), f.bytes(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serving starts serve on a folder, and delivers slides after the server watches it, so that
// no test waits for the next scan. It also returns the folder.
func serving(t *testing.T, files map[string]*slideFile, args ...string) (*running, string) {
	t.Helper()
	dir := filepath.Join(slidesIn(t, nil), "slides")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"serve", dir, "--data", newCatalog(t)}, args...)
	s := start(t, args...)
	s.until("the first pass", func() bool { return !strings.Contains(s.get("/api/v1/stores").body, `"last_sync":null`) })
	for name, f := range files {
		deliver(t, f, filepath.Join(dir, name))
	}
	for name := range files {
		s.available(name)
	}
	return s, dir
}

// deliver copies the slide and renames the copy to path, as careful slide scanners do. The
// folder of the slide must be on the same file system as path.
func deliver(t *testing.T, f *slideFile, path string) {
	t.Helper()
	part := filepath.Join(filepath.Dir(filepath.Dir(path)), "part")
	if err := os.WriteFile(part, f.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, path); err != nil {
		t.Fatal(err)
	}
}

// checkProblem fails the test unless a is a problem of that status that is not cached, with
// a readable text and without paths of the machine.
func checkProblem(t *testing.T, what string, a answer, status int) {
	t.Helper()
	var p struct {
		Status int
		Title  string
		Detail string
	}
	err := json.Unmarshal([]byte(a.body), &p)
	if err != nil || a.status != status || p.Status != status || p.Detail == "" || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: status %d, %s, %s, %q: want a problem of status %d", what, a.status, a.header.Get("Content-Type"), a.header.Get("Cache-Control"), a.body, status)
	}
	if strings.Contains(a.body, os.TempDir()) || strings.Contains(a.body, patient) {
		t.Errorf("%s: %q names a path of the machine", what, a.body)
	}
}

// sameTile fails the test unless a has the bytes of the tile in the file.
func sameTile(t *testing.T, what string, a answer, f *slideFile, level, x, y int) {
	t.Helper()
	want, err := f.open(t).AppendTile(nil, level, x, y)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK || a.body != string(want) || a.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%s: status %d, %s, %d bytes; the file stores %d", what, a.status, a.header.Get("Content-Type"), len(a.body), len(want))
	}
}

func diff[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
