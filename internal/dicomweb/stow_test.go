package dicomweb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// A station is a server that receives instances, and the files of a series to send.
type station struct {
	t        *testing.T
	url      string
	receiver *Receiver
	store    *catalog.Store
	log      bytes.Buffer
	auditing sync.Mutex
	audit    []int // stored and refused of each request

	study, series string
	names         []string // instances
	files         [][]byte
	attributes    []string // as JSON
	frame         []byte   // the second of the largest level
}

// newStation starts a server. Change, if not nil, changes its options.
func newStation(t *testing.T, change func(*ReceiverOptions, *catalog.Store)) *station {
	t.Helper()
	s := &station{t: t}
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	o := ReceiverOptions{
		Catalog: c, Log: slog.New(slog.DiscardHandler), Store: "archive", Reserve: 1,
		Caller: func(*http.Request, *catalog.Store) (string, error) { return "u", nil },
		Audit: func(_ *http.Request, _ *catalog.Store, stored, refused int) error {
			s.auditing.Lock()
			defer s.auditing.Unlock()
			s.audit = append(s.audit, stored, refused)
			return nil
		},
		BaseURL: func(*http.Request) string { return "https://slides.example.org" },
	}
	st := catalog.Store{Label: "archive", Mode: catalog.Managed, Root: filepath.Join(t.TempDir(), "archive")}
	if change != nil {
		change(&o, &st)
	}
	var err error
	if s.store, err = managed.AddStore(t.Context(), c, st); err != nil {
		t.Fatal(err)
	}
	s.receiver = NewReceiver(o)
	mux := http.NewServeMux()
	mux.Handle(StoreRoute, s.receiver)
	mux.Handle(StoreStudyRoute, s.receiver)
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(httperr.ContextWithLog(r.Context(), log)))
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.export()
	return s
}

// export makes the files of a small slide.
func (s *station) export() {
	s.t.Helper()
	path, dir := filepath.Join(s.t.TempDir(), "a.tiff"), s.t.TempDir()
	if _, err := (synth.Philips{Width: 300, Height: 200, TileSize: 128, Label: true, MPPX: 0.25, MPPY: 0.25}).Write(path); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	sl, err := slide.Open(f, fi.Size())
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := dicom.NewSeries(sl, dicom.Options{ID: "im1", Patient: &dicom.Patient{Name: "MUSTER^ERIKA", Label: true}})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := d.Export(s.t.Context(), dir, nil); err != nil {
		s.t.Fatal(err)
	}
	s.study, s.series = d.StudyUID, d.UID
	for _, in := range d.Instances {
		b, err := os.ReadFile(filepath.Join(dir, in.UID+".dcm"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.names, s.files = append(s.names, in.UID), append(s.files, b)
		attributes, err := in.Attributes.JSON(nil)
		if err != nil {
			s.t.Fatal(err)
		}
		s.attributes = append(s.attributes, string(attributes))
	}
	if s.frame, err = d.Instances[0].AppendFrame(s.t.Context(), nil, 1); err != nil {
		s.t.Fatal(err)
	}
}

// multi makes the body of a request.
func multi(files ...[]byte) []byte {
	var b bytes.Buffer
	for _, f := range files {
		b.WriteString("\r\n--xyz\r\nContent-Type: application/dicom\r\n\r\n")
		b.Write(f)
	}
	b.WriteString("\r\n--xyz--\r\n")
	return b.Bytes()
}

const related = `multipart/related; type="application/dicom"; boundary=xyz`

// An answered is what a request was answered.
type answered struct {
	Status int
	Type   string
	Body   string
}

func (s *station) post(path, contentType string, body io.Reader, headers ...string) answered {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+"/dicom-web"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}
}

// verdicts are the instances of an answer: "stored", or the reason why not, by their identifiers;
// those without one by "".
func (a answered) verdicts(t *testing.T) map[string]string {
	t.Helper()
	var d map[string]struct {
		Value []map[string]struct{ Value []any }
	}
	if a.Type != typeJSON {
		t.Fatalf("%v", a)
	}
	// The URL is no object.
	text := a.Body
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "00081190")
	rest, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(rest, &d); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, seq := range []string{"00081198", "00081199", "0008119A"} {
		for _, item := range d[seq].Value {
			id, verdict := "", "stored"
			if v := item["00081155"].Value; len(v) > 0 {
				id = v[0].(string)
			}
			if v := item["00081197"].Value; len(v) > 0 {
				verdict = strings.ToUpper(codeOf(v[0].(float64)))
			}
			m[id] = verdict
		}
	}
	return m
}

func codeOf(v float64) string {
	const digits = "0123456789abcdef"
	n := int(v)
	return string([]byte{digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]})
}

// stored lists the files of the incoming folder, hidden ones too.
func (s *station) stored() []string {
	s.t.Helper()
	var names []string
	root := managed.IncomingOf(s.store)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != managed.MarkerName {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

// place is where an instance is stored.
func (s *station) place(i int) string { return s.series + "/" + s.names[i] + ".dcm" }

// TestStore sends a series, in one request and again one by one, and then changed instances.
func TestStore(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	a := s.post("/studies", related, bytes.NewReader(multi(s.files...)))
	want, places := map[string]string{}, []string{}
	for i, name := range s.names {
		want[name] = "stored"
		places = append(places, s.place(i))
	}
	if diff := cmp.Diff(want, a.verdicts(t)); diff != "" || a.Status != 200 {
		t.Errorf("%d %s", a.Status, diff)
	}
	if !strings.Contains(a.Body, `"https://slides.example.org/dicom-web/studies/`+s.study+`"`) ||
		!strings.Contains(a.Body, `/dicom-web/studies/`+s.study+"/series/"+s.series+"/instances/"+s.names[0]+`"`) {
		t.Errorf("addresses: %s", a.Body)
	}
	slices.Sort(places)
	if diff := cmp.Diff(places, s.stored()); diff != "" {
		t.Error(diff)
	}
	for i, f := range s.files {
		if b, err := os.ReadFile(filepath.Join(managed.IncomingOf(s.store), s.place(i))); err != nil || !bytes.Equal(b, f) {
			t.Errorf("instance %d differs: %v", i, err)
		}
	}
	// The same from another program, which writes its own file meta information.
	again := bytes.Replace(s.files[0], []byte("PTIFFSTORE"), []byte("OTHER     "), 1)
	if a := s.post("/studies/"+s.study, "application/dicom", bytes.NewReader(again)); a.Status != 200 {
		t.Errorf("the same instance again: %v", a)
	}
	changed := bytes.Clone(s.files[0])
	changed[len(changed)-40] ^= 1
	a = s.post("/studies", related, bytes.NewReader(multi(changed, s.files[1])))
	if diff := cmp.Diff(map[string]string{s.names[0]: "0111", s.names[1]: "stored"}, a.verdicts(t)); diff != "" || a.Status != 202 {
		t.Errorf("a changed instance: %d %s", a.Status, diff)
	}
	if b, err := os.ReadFile(filepath.Join(managed.IncomingOf(s.store), s.place(0))); err != nil || !bytes.Equal(b, s.files[0]) {
		t.Errorf("the first one was replaced: %v", err)
	}
	if diff := cmp.Diff([]int{len(s.files), 0, 1, 0, 1, 1}, s.audit); diff != "" {
		t.Errorf("audit: %s", diff)
	}
	if diff := cmp.Diff(places, s.stored()); diff != "" {
		t.Error(diff)
	}
	s.imported()
	a = s.post("/studies", related, bytes.NewReader(multi(changed, s.files[1], again)))
	if diff := cmp.Diff(map[string]string{s.names[0]: "stored", s.names[1]: "stored"}, a.verdicts(t)); diff != "" || a.Status != 202 {
		t.Errorf("after the import: %d %s", a.Status, diff)
	}
	if got := s.stored(); len(got) > 0 {
		t.Errorf("stored again: %q", got)
	}
}

// imported moves the series to where the store imports it.
func (s *station) imported() {
	s.t.Helper()
	to := s.store.File(filepath.Dir(managed.SeriesPath(s.series)))
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(filepath.Join(managed.IncomingOf(s.store), s.series), to)); err != nil {
		s.t.Fatal(err)
	}
}

// replaced returns a file with all occurrences of a text replaced by one of the same length.
func replaced(b []byte, from, to string) []byte {
	if len(from) != len(to) {
		panic("lengths")
	}
	return bytes.ReplaceAll(b, []byte(from), []byte(to))
}

// TestStoreVerdicts sends instances that are not stored.
func TestStoreVerdicts(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	name, first := s.names[0], s.files[0]
	notData := bytes.Replace(first, []byte(name), []byte(name[:len(name)-1]+"x"), 1) // of the meta information only
	for what, tt := range map[string]struct {
		file   []byte
		path   string
		status int
		want   map[string]string
	}{
		"no DICOM":        {[]byte("hello"), "", 409, map[string]string{"": "C000"}},
		"empty":           {nil, "", 409, map[string]string{"": "C000"}},
		"truncated":       {first[:len(first)-100], "", 409, map[string]string{name: "C000"}},
		"another class":   {replaced(first, dicom.WholeSlide, "1.2.840.10008.5.1.4.1.1.77.1.5"), "", 409, map[string]string{name: "0122"}},
		"another syntax":  {replaced(first, dicom.JPEGBaseline, "1.2.840.10008.1.2.4.80"), "", 409, map[string]string{name: "C122"}},
		"class of one":    {bytes.Replace(first, []byte(dicom.WholeSlide), []byte("1.2.840.10008.5.1.4.1.1.77.1.5"), 1), "", 409, map[string]string{name: "0122"}},
		"not an UID":      {notData, "", 409, map[string]string{"": "C000"}},
		"path as UID":     {replaced(first, s.series, "../"+s.series[3:]), "", 409, map[string]string{name: "A900"}},
		"another study":   {first, "/1.2.3", 409, map[string]string{name: "A900"}},
		"no series":       {replaced(first, "\x20\x00\x0e\x00UI", "\x20\x00\x0f\x00UI"), "", 409, map[string]string{name: "A900"}},
		"name of another": {replaced(bytes.Replace(first, []byte(name), []byte(name[:len(name)-1]+"1"), 1), name[:len(name)-1]+"x", ""+name[:len(name)-1]+"x"), "", 409, nil},
	} {
		a := s.post("/studies"+tt.path, related, bytes.NewReader(multi(tt.file)))
		if tt.want == nil {
			if a.Status != 409 || !strings.Contains(a.Body, "43264") {
				t.Errorf("%s: %v", what, a)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, a.verdicts(t)); diff != "" || a.Status != tt.status {
			t.Errorf("%s: %d %s", what, a.Status, diff)
		}
	}
	a := s.post("/studies", related, bytes.NewReader(multi([]byte("x"), s.files[1])))
	if diff := cmp.Diff(map[string]string{"": "C000", s.names[1]: "stored"}, a.verdicts(t)); diff != "" || a.Status != 202 {
		t.Errorf("one of two: %d %s", a.Status, diff)
	}
	if diff := cmp.Diff([]string{s.place(1)}, s.stored()); diff != "" {
		t.Error(diff)
	}
	for _, secret := range append([]string{"MUSTER", s.study, s.series}, s.names...) {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log contains %s: %s", secret, s.log.String())
		}
	}
}

// TestStoreRequests sends requests that are refused as a whole.
func TestStoreRequests(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	body := multi(s.files[0])
	for what, tt := range map[string]struct {
		path, contentType string
		body              []byte
		headers           []string
		want              int
	}{
		"no type":            {"", "", body, nil, 415},
		"JSON":               {"", "application/json", body, nil, 415},
		"parts of JSON":      {"", `multipart/related; type="application/dicom+json"; boundary=xyz`, body, nil, 415},
		"compressed":         {"", related, body, []string{"Content-Encoding", "gzip"}, 415},
		"no boundary":        {"", `multipart/related; type="application/dicom"`, body, nil, 400},
		"long boundary":      {"", "multipart/related; boundary=" + strings.Repeat("x", 257), body, nil, 400},
		"malformed type":     {"", "multipart/related; boundary", body, nil, 400},
		"another boundary":   {"", "multipart/related; boundary=abc", body, nil, 400},
		"no parts":           {"", related, multi(), nil, 400},
		"unfinished":         {"", related, body[:len(body)-20], nil, 400},
		"study is no UID":    {"/..%2f..", related, body, nil, 400},
		"accepts only HTML":  {"", related, body, []string{"Accept", "text/html, application/dicom+json;q=0"}, 406},
		"Accept of browsers": {"", related, body, []string{"Accept", "text/html, */*;q=0.8"}, 200},
	} {
		if a := s.post("/studies"+tt.path, tt.contentType, bytes.NewReader(tt.body), tt.headers...); a.Status != tt.want {
			t.Errorf("%s: %v, want %d", what, a, tt.want)
		}
	}
	if a := s.post("/studies", related, bytes.NewReader(multi(s.files[1], s.files[0][:2000])[:len(s.files[1])+1000])); a.Status != 202 {
		t.Errorf("interrupted in the second instance: %v", a)
	}
	a := s.post("/studies", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50", bytes.NewReader(s.files[1]), "Accept", "application/dicom+xml")
	if !strings.Contains(a.Body, `<DicomAttribute tag="00081155" vr="UI" keyword="ReferencedSOPInstanceUID"><Value number="1">`+s.names[1]+`</Value>`) || a.Status != 200 {
		t.Errorf("XML: %v", a)
	}
}

// TestStoreLimits sends to servers that may not store everything.
func TestStoreLimits(t *testing.T) {
	t.Parallel()
	refuse := func(*http.Request, *catalog.Store) (string, error) { return "", catalog.ErrNotFound }
	for what, tt := range map[string]struct {
		change func(*ReceiverOptions, *catalog.Store)
		status int
		first  string
	}{
		"no setting":        {func(o *ReceiverOptions, _ *catalog.Store) { o.Store = "" }, 403, ""},
		"unknown store":     {func(o *ReceiverOptions, _ *catalog.Store) { o.Store = "x" }, 503, ""},
		"in place":          {func(_ *ReceiverOptions, st *catalog.Store) { st.Mode = catalog.InPlace; os.Mkdir(st.Root, 0o755) }, 503, ""},
		"not a contributor": {func(o *ReceiverOptions, _ *catalog.Store) { o.Caller = refuse }, 500, ""}, // the guard turns it into 404
		"no caller":         {func(o *ReceiverOptions, _ *catalog.Store) { o.Caller = nil }, 403, ""},
		"no space":          {func(o *ReceiverOptions, _ *catalog.Store) { o.Reserve = 1 << 60 }, 507, ""},
		"quota":             {func(_ *ReceiverOptions, st *catalog.Store) { st.Quota = 1000 }, 507, ""},
		"large":             {func(o *ReceiverOptions, _ *catalog.Store) { o.MaxSize = 2000 }, 507, "A700"},
		"audit log is away": {func(o *ReceiverOptions, _ *catalog.Store) {
			o.Audit = func(*http.Request, *catalog.Store, int, int) error { return errors.New("away") }
		}, 500, ""},
	} {
		s := newStation(t, tt.change)
		a := s.post("/studies", related, bytes.NewReader(multi(s.files[0])))
		if a.Status != tt.status {
			t.Errorf("%s: %v, want %d", what, a, tt.status)
		}
		if tt.first != "" && a.verdicts(t)[s.names[0]] != tt.first {
			t.Errorf("%s: %v, want %s", what, a, tt.first)
		}
		if tt.first != "" && len(s.stored()) > 0 {
			t.Errorf("%s: %q was left behind", what, s.stored())
		}
	}
	// Without a Content-Length the quota is reached while the instance arrives.
	s := newStation(t, func(_ *ReceiverOptions, st *catalog.Store) { st.Quota = 1000 })
	a := s.post("/studies", related, io.MultiReader(bytes.NewReader(multi(s.files[0]))))
	if diff := cmp.Diff(map[string]string{s.names[0]: "A700"}, a.verdicts(t)); diff != "" || a.Status != 507 || len(s.stored()) > 0 {
		t.Errorf("quota: %d %s %q", a.Status, diff, s.stored())
	}
}

// TestStoreUnmounted sends to a store whose disk is not mounted.
func TestStoreUnmounted(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	if err := os.Remove(filepath.Join(managed.IncomingOf(s.store), managed.MarkerName)); err != nil {
		t.Fatal(err)
	}
	if a := s.post("/studies", related, bytes.NewReader(multi(s.files[0]))); a.Status != 503 || len(s.stored()) > 0 {
		t.Errorf("%v %q", a, s.stored())
	}
}

// TestStoreLinks has a link at the place of the series, which leads out of the folder.
func TestStoreLinks(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(managed.IncomingOf(s.store), s.series)); err != nil {
		t.Fatal(err)
	}
	a := s.post("/studies", related, bytes.NewReader(multi(s.files[0])))
	if diff := cmp.Diff(map[string]string{s.names[0]: "0110"}, a.verdicts(t)); diff != "" {
		t.Error(diff)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
}

// TestSweep removes what an ended process left, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b, err := openInbox(s.store)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	b.space = space{quota: -1}
	writing, err := b.create()
	if err != nil {
		t.Fatal(err)
	}
	defer writing.discard()
	old := time.Now().Add(-2 * youngest)
	dir := filepath.Join(managed.IncomingOf(s.store), tempFolder)
	for _, name := range []string{"left.part", "new.part"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"left.part", writing.name} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.receiver.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{tempFolder + "/" + writing.name, tempFolder + "/new.part"}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.stored()); diff != "" {
		t.Error(diff)
	}
}

// TestStoreParallel sends the same instance by several requests: all are answered success, and
// there is one file.
func TestStoreParallel(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	got := make(chan int, 8)
	for range cap(got) {
		go func() { got <- s.post("/studies", related, bytes.NewReader(multi(s.files[0]))).Status }()
	}
	for range cap(got) {
		if status := <-got; status != 200 {
			t.Errorf("%d", status)
		}
	}
	if diff := cmp.Diff([]string{s.place(0)}, s.stored()); diff != "" {
		t.Error(diff)
	}
}

// TestStoreInterrupted ends a client in the middle of an instance: its file is removed.
func TestStoreInterrupted(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	body := multi(append(s.files[0], make([]byte, 1<<20)...))
	r, w := io.Pipe()
	go func() {
		w.Write(body[:len(body)/2])
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // until the server has it
			if list, _ := os.ReadDir(filepath.Join(managed.IncomingOf(s.store), tempFolder)); len(list) > 0 {
				break
			}
		}
		cancel()
		w.CloseWithError(context.Canceled)
	}()
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/dicom-web/studies", r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", related)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal(resp.Status)
	}
	for deadline := time.Now().Add(10 * time.Second); len(s.stored()) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%q was left behind", s.stored())
		}
	}
}

// TestStoreTools sends what dcmtk has rewritten with sequences of undefined length.
func TestStoreTools(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("dcmconv"); err != nil {
		t.Skip("no dcmconv (Debian: dcmtk)")
	}
	s := newStation(t, nil)
	in, out := filepath.Join(t.TempDir(), "a.dcm"), filepath.Join(t.TempDir(), "b.dcm")
	if err := fsx.WriteFile(in, s.files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("dcmconv", "-e", in, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.post("/studies", related, bytes.NewReader(multi(b))); a.Status != 200 {
		t.Errorf("%v", a)
	}
}
