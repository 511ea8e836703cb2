package upload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// beginAs begins an upload of an owner.
func (s *site) beginAs(owner, name string, length int) answer {
	s.t.Helper()
	return s.ask("POST", upload.Route, nil, "Authorization", owner, "Upload-Length", strconv.Itoa(length), "Upload-Metadata", metadata("filename", name, "store", s.store.ID))
}

// listed returns a page of the list.
func (s *site) listed(query string, header ...string) (page struct {
	Items      []upload.View
	NextCursor *string `json:"next_cursor"`
},
) {
	s.t.Helper()
	a := s.ask("GET", upload.Route+query, nil, header...)
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("list %s: %d %s", query, a.status, a.body)
	}
	return page
}

// An owner who begins ever more uploads does not stop other owners, and is refused only
// for a while.
func TestOwnerOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerOpen: 50})
	var last answer
	begun := 0
	for i := range 1000 {
		if last = s.beginAs("mallory", fmt.Sprintf("%d.tiff", i), 10); last.status == 201 {
			begun++
		}
	}
	checkProblem(t, last, 429)
	if begun != 50 || last.header.Get("Retry-After") == "" || !strings.Contains(last.body, "You have 50 incomplete uploads") {
		t.Errorf("%d begun, then %d %s", begun, last.status, last.body)
	}
	if a := s.beginAs("anna", "a.tiff", 10); a.status != 201 {
		t.Errorf("another owner: %d %s", a.status, a.body)
	}
	// The limit holds after a restart, until uploads are removed or completed.
	s.serve(upload.Options{OwnerOpen: 50})
	s.uploads.SetScanAge(0)
	if a := s.beginAs("mallory", "b.tiff", 10); a.status != 429 {
		t.Errorf("after a restart: %d", a.status)
	}
	url := upload.Route + "/" + s.listed("", "Authorization", "mallory").Items[0].ID
	if a := s.patch(url, 0, noise(10), "Authorization", "mallory"); a.status != 204 {
		t.Fatal(a)
	}
	if a := s.beginAs("mallory", "b.tiff", 10); a.status != 201 {
		t.Errorf("after one was completed: %d %s", a.status, a.body)
	}
	url = upload.Route + "/" + s.listed("", "Authorization", "mallory").Items[2].ID
	if a := s.ask("DELETE", url, nil, "Authorization", "mallory"); a.status != 204 {
		t.Fatal(a)
	}
	if a := s.beginAs("mallory", "c.tiff", 10); a.status != 201 {
		t.Errorf("after one was removed: %d %s", a.status, a.body)
	}
}

func TestOwnerBytes(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerBytes: 1000})
	for _, tt := range []struct {
		owner        string
		length, want int
	}{{"anna", 5000, 201}, {"anna", 1, 429}, {"bert", 900, 201}, {"bert", 101, 429}, {"bert", 100, 201}} {
		if a := s.beginAs(tt.owner, "a.tiff", tt.length); a.status != tt.want {
			t.Errorf("%s, %d bytes: %d %s, want %d", tt.owner, tt.length, a.status, a.body, tt.want)
		}
	}
}

// An upload that could not be created does not count.
func TestBeginFailed(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerOpen: 1})
	s.begin("a.tiff", 10)
	hidden := filepath.Join(s.store.Incoming, ".ptiffstore-uploads")
	if a := s.beginAs("", "b.tiff", 10); a.status != 429 {
		t.Fatal(a)
	}
	url := s.listed("").Items[0].ID
	if err := os.RemoveAll(hidden); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hidden, nil, 0o600); err != nil { // so that nothing can be created in it
		t.Fatal(err)
	}
	if a := s.beginAs("", "b.tiff", 10); a.status != 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := os.Remove(hidden); err != nil {
		t.Fatal(err)
	}
	s.uploads.SetScanAge(0)
	if a := s.beginAs("", "c.tiff", 10); a.status != 201 {
		t.Errorf("once the folder is right: %d %s", a.status, a.body)
	}
	if a := s.ask("HEAD", upload.Route+"/"+url, nil); a.status != 404 {
		t.Errorf("what was removed by hand: %d", a.status)
	}
}

// age makes an upload older, by writing its record like another process.
func (s *site) age(url string, by time.Duration) {
	s.t.Helper()
	path := strings.TrimSuffix(s.partOf(url), ".part") + ".json"
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	var rec map[string]any
	if err := json.Unmarshal(b, &rec); err != nil {
		s.t.Fatal(err)
	}
	used, err := time.Parse(time.RFC3339, rec["UsedAt"].(string))
	if err != nil {
		s.t.Fatal(err)
	}
	rec["UsedAt"] = used.Add(-by)
	if b, err = json.Marshal(rec); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path+"x", b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+"x", path); err != nil {
		s.t.Fatal(err)
	}
}

// An upload with few bytes is removed after an hour, an interrupted one after a week.
func TestEmptyExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerOpen: 2})
	s.uploads.SetScanAge(0)
	empty, cut := s.begin("a.tiff", 4<<20), s.begin("b.tiff", 4<<20)
	if a := s.patch(empty, 0, noise(1000)); a.status != 204 {
		t.Fatal(a)
	}
	if a := s.patch(cut, 0, noise(1<<20)); a.status != 204 {
		t.Fatal(a)
	}
	s.age(empty, 59*time.Minute)
	s.age(cut, 6*24*time.Hour)
	if a := s.beginAs("", "c.tiff", 10); a.status != 429 {
		t.Errorf("both are there: %d", a.status)
	}
	s.age(empty, 2*time.Minute)
	if a := s.ask("HEAD", empty, nil); a.status != 404 {
		t.Errorf("the empty one: %d, want 404", a.status)
	}
	if a := s.ask("HEAD", cut, nil); a.status != 200 || a.offset() != itoa(1<<20) {
		t.Errorf("the one that was cut: %d at %s", a.status, a.offset())
	}
	if a := s.beginAs("", "c.tiff", 10); a.status != 201 {
		t.Errorf("one has expired: %d %s", a.status, a.body)
	}
}

// Two processes that serve one folder see each other's uploads.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerOpen: 3})
	one := s.uploads
	oneURL := s.url
	s.serve(upload.Options{OwnerOpen: 3})
	two, twoURL := s.uploads, s.url
	one.SetScanAge(0)
	two.SetScanAge(0)
	on := func(url string) *site { s.url = url; return s }
	a, b := on(oneURL).begin("a.tiff", 10), on(twoURL).begin("b.tiff", 10)
	for _, url := range []string{oneURL, twoURL} {
		if got := len(on(url).listed("").Items); got != 2 {
			t.Errorf("%d listed, want 2", got)
		}
	}
	on(twoURL).patch(a, 0, noise(5))
	if got := on(oneURL).listed("").Items[1].Offset; got != 5 {
		t.Errorf("the first is at %d, want 5", got)
	}
	on(oneURL).begin("c.tiff", 10)
	if a := on(twoURL).beginAs("", "d.tiff", 10); a.status != 429 {
		t.Errorf("a fourth: %d", a.status)
	}
	on(oneURL).ask("DELETE", b, nil)
	if a := on(twoURL).beginAs("", "d.tiff", 10); a.status != 201 {
		t.Errorf("after one was removed elsewhere: %d %s", a.status, a.body)
	}
}

// A record that was not written again is not read again.
func TestRecordsReadOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{OwnerOpen: 1})
	path := strings.TrimSuffix(s.partOf(s.begin("a.tiff", 10)), ".part") + ".json"
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s.serve(upload.Options{OwnerOpen: 1})
	s.uploads.SetScanAge(0)
	if got := len(s.listed("").Items); got != 1 {
		t.Fatalf("%d listed", got)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", int(st.Size()))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if a := s.beginAs("", "b.tiff", 10); a.status != 429 {
		t.Errorf("the record was read again: %d %s", a.status, a.body)
	}
}

// Admins of a store see all uploads into it, and remove them.
func TestAdminList(t *testing.T) {
	t.Parallel()
	var noted []upload.Event
	s := newSite(t, upload.Options{
		Rights: func(r *http.Request, _ *catalog.Store) (upload.Rights, error) {
			who := r.Header.Get("Authorization")
			return upload.Rights{Admin: who == "admin" || who == "porter", Names: who == "admin"}, nil
		},
		UserName: func(_ context.Context, id string) string { return strings.ToUpper(id[:1]) + id[1:] },
		Audit:    func(_ *http.Request, e upload.Event) error { noted = append(noted, e); return nil },
	})
	var urls []string
	for i := range 5 {
		urls = append(urls, s.beginAs("anna", fmt.Sprintf("%d.tiff", i), 10).header.Get("Location"))
	}
	s.beginAs("admin", "own.tiff", 10)
	if got := len(s.listed("", "Authorization", "admin").Items); got != 1 {
		t.Errorf("%d of the admin's own, want 1", got)
	}
	if got := len(s.listed("?all=true", "Authorization", "bert").Items); got != 0 {
		t.Errorf("a user who is not an admin sees %d", got)
	}
	type line struct {
		Name, Owner string
		Own         bool
	}
	var got []line
	for query := "?all=true&state=uploading&limit=4"; ; {
		page := s.listed(query, "Authorization", "admin")
		for _, v := range page.Items {
			got = append(got, line{*v.SentAs, *v.Owner.Name, v.Own})
		}
		if page.NextCursor == nil {
			break
		}
		query = "?all=true&state=uploading&limit=4&cursor=" + *page.NextCursor
	}
	want := []line{{"own.tiff", "Admin", true}, {"4.tiff", "Anna", false}, {"3.tiff", "Anna", false}, {"2.tiff", "Anna", false}, {"1.tiff", "Anna", false}, {"0.tiff", "Anna", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if len(noted) != 2 || noted[0].Act != "label.list" {
		t.Errorf("audit log: %+v, want two lines of the names that were shown", noted)
	}
	for _, v := range s.listed("?all=true", "Authorization", "porter").Items {
		if v.SentAs != nil || v.FileName != nil || v.Modified != nil || v.Owner == nil || v.Length != 10 {
			t.Errorf("a user who may not see names gets %+v", v)
		}
	}
	if a := s.ask("GET", urls[0], nil, "Authorization", "porter"); a.status != 200 || strings.Contains(a.body, "0.tiff") {
		t.Errorf("GET without names: %d %s", a.status, a.body)
	}
	for _, method := range []string{"HEAD", "PATCH"} { // they reveal the name, and write
		if a := s.ask(method, urls[0], nil, "Authorization", "admin", "Content-Type", chunk, "Upload-Offset", "0"); a.status != 404 {
			t.Errorf("%s of another's: %d, want 404", method, a.status)
		}
	}
	if a := s.ask("DELETE", urls[0], nil, "Authorization", "bert"); a.status != 404 {
		t.Errorf("DELETE by another: %d, want 404", a.status)
	}
	noted = nil
	if a := s.ask("DELETE", urls[0], nil, "Authorization", "porter"); a.status != 204 {
		t.Errorf("DELETE by an admin: %d %s", a.status, a.body)
	}
	if want := []upload.Event{{Act: "upload.remove", Object: filepath.Base(urls[0]) + " " + s.store.ID, Detail: "begun by anna"}}; !cmp.Equal(want, noted) {
		t.Errorf("audit log: %+v, want %+v", noted, want)
	}
	if a := s.ask("HEAD", urls[0], nil, "Authorization", "anna"); a.status != 404 {
		t.Errorf("what was removed: %d", a.status)
	}
}

func TestBadFilter(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	for query, want := range map[string]int{"all=maybe": 422, "state=gone": 422, "limit=0": 422, "limit=many": 422, "limit=101": 422, "cursor=x": 400} {
		if a := s.ask("GET", upload.Route+"?"+query, nil); a.status != want {
			t.Errorf("%s: %d %s, want %d", query, a.status, a.body, want)
		}
	}
}

// An owner with many slow requests leaves slots to others.
func TestOwnerSending(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{AtOnce: 4})
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 2 {
		url := s.beginAs("mallory", "a.tiff", 1000).header.Get("Location")
		body, feed := io.Pipe()
		defer feed.Close()
		wg.Go(func() {
			s.try("PATCH", url, body, "Authorization", "mallory", "Content-Type", chunk, "Upload-Offset", "0")
		})
		feed.Write([]byte("x")) // the request gets its slot before or soon after this is read
	}
	s.until("both have a place", func() bool { return s.uploads.Receiving() == 2 })
	for owner, want := range map[string]int{"mallory": 503, "anna": 204} {
		url := s.beginAs(owner, "b.tiff", 10).header.Get("Location")
		if a := s.patch(url, 0, noise(10), "Authorization", owner); a.status != want {
			t.Errorf("%s: %d %s, want %d", owner, a.status, a.body, want)
		}
	}
}
