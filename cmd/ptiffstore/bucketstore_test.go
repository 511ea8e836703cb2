package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

// inBucket are requests for a slide, in a folder or in a bucket. {image} and {store} are replaced,
// {study} by the StudyInstanceUID.
var inBucket = strings.Fields(`
	/api/v1/images/{image}/tiles/3/3/2 /api/v1/images/{image}/tiles/0/0/0 /api/v1/images/{image}/tiles/tqsr.jpg
	/api/v1/images/{image}/thumbnail?width=64 /api/v1/images/{image}/preview
	/api/v1/images/{image}/associated/label /api/v1/images/{image}/associated/macro
	/api/v1/images/{image}/region?x=100&y=90&w=300&h=200 /api/v1/images/{image}/region?x=1&y=1&w=60&h=50&format=png
	/dzi/{image}.dzi /dzi/{image}_files/12/3_2.jpg /dzi/{image}_files/8/0_0.jpg
	/zoomify/{image}/ImageProperties.xml /zoomify/{image}/TileGroup0/0-0-0.jpg
	/iiif/2/{image}/full/64,/0/default.jpg /iiif/3/{image}/10,20,200,128/max/0/default.jpg
	/thumb/{store}/{image} /tileat/{store}/{image}?x=10&y=10 /tile/{store}/{image}/tqsr.jpg
	/cutout/{store}/{image}/a.png?bounds=[0,90,0,90] /cutout/{store}/{image}/a.jpg?bounds=[10,90,20,90]
	/cutout/{store}/{image}/a.tif?bounds=[0,512,0,512]
`)

// TestServeBucket serves the same slide from a folder and from a bucket: all answers are the same.
// Then the bucket fails, and the slide is replaced and deleted.
func TestServeBucket(t *testing.T) {
	s3test.Env(t)
	server := s3test.New(t)
	proxy, bucket := server.Proxy(t), server.Bucket(t)
	const key = "ward 7/" + patient + " 2.tiff"
	put := func(key string, f *slideFile) { server.Put(t, bucket, "scanner/"+key, f.bytes(t)) }
	put(key, philips)
	put("ward 7/"+patient+" 3.tiff", plain)
	put("ward 7/"+patient+" 4.tiff", plain)
	server.Put(t, bucket, "scanner-old/"+patient+" 5.tiff", nil)
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": philips})
	s := start(t, "serve", dir, "s3://"+bucket+"/scanner", "--s3-endpoint", proxy.URL, "--s3-path-style", "--data", newCatalog(t))
	file, object := s.available(patient+" 1.tiff"), s.available(patient+" 2.tiff")
	for _, path := range inBucket {
		want, got := s.get(address(path, file)), s.get(address(path, object))
		if want.status != http.StatusOK || got.status != want.status || got.body != want.body && !bytes.Equal(withoutIDs(got, object), withoutIDs(want, file)) {
			t.Errorf("%s: %d, %d bytes from the bucket; %d, %d bytes from the folder", path, got.status, len(got.body), want.status, len(want.body))
		}
	}
	s.inDICOM(t, object)
	if n := len(s.images()); n != 4 {
		t.Errorf("%d images, want 4: %v", n, s.images())
	}
	s.bucketFails(t, proxy, object)

	put(key, replaced)
	tile := "/api/v1/images/" + object.ID + "/tiles/2/1/1"
	s.until("a new revision", func() bool {
		a := s.get(tile)
		if a.status == http.StatusOK && a.header.Get("Etag") != "" && !strings.Contains(a.header.Get("Etag"), object.Revision) {
			return true
		}
		if a.status != http.StatusOK && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "") {
			t.Fatalf("while the object is replaced: %d %s", a.status, a.body)
		}
		if a.status == http.StatusOK && a.body != storedTile(t, philips, 1, 1, 1) {
			t.Fatal("a tile of another slide under the revision of the former")
		}
		s.sync(object.Store)
		return false
	})
	sameTile(t, tile, s.get(tile), replaced, 1, 1, 1)

	server.Remove(t, bucket, "scanner/"+key)
	s.until("the deleted slide is missing", func() bool {
		s.sync(object.Store)
		return s.images()[patient+" 2.tiff"].State == "missing"
	})
}

func address(path string, im imageJSON) string {
	return strings.NewReplacer("{image}", im.ID, "{store}", im.Store).Replace(path)
}

var urn = regexp.MustCompile(`urn:[a-z]+:[A-Za-z0-9-]+`)

// withoutIDs returns the body without what differs between two images.
func withoutIDs(a answer, im imageJSON) []byte {
	body := strings.NewReplacer(im.ID, "", im.Store, "", im.Revision, "").Replace(a.body)
	return urn.ReplaceAll([]byte(body), nil)
}

// inDICOM reads an image of a bucket as DICOM.
func (s *running) inDICOM(t *testing.T, im imageJSON) {
	t.Helper()
	study := regexp.MustCompile(`"0020000D":\{"vr":"UI","Value":\["([0-9.]+)"`)
	found := false
	for _, m := range study.FindAllStringSubmatch(s.get("/dicom-web/studies").body, -1) {
		meta := s.get("/dicom-web/studies/" + m[1] + "/metadata")
		thumb := s.get("/dicom-web/studies/" + m[1] + "/thumbnail")
		if found = true; meta.status != http.StatusOK || thumb.status != http.StatusOK {
			t.Errorf("study %s: metadata %d, thumbnail %d %s", m[1], meta.status, thumb.status, thumb.body)
		}
	}
	if !found {
		t.Error("no studies")
	}
	if a := s.get("/api/v1/images/" + im.ID + "/dicom"); a.status != http.StatusOK || len(a.body) < 1000 {
		t.Errorf("download as DICOM: %d, %d bytes", a.status, len(a.body))
	}
}

// bucketFails expects 503 while the bucket does not answer, and the slide afterwards. Nothing
// becomes missing.
func (s *running) bucketFails(t *testing.T, proxy *s3test.Proxy, im imageJSON) {
	t.Helper()
	path := "/api/v1/images/" + im.ID + "/region?x=%d&y=300&w=50&h=50"
	for i, f := range []s3test.Fault{
		{Status: http.StatusNotFound, Code: "XAdminUserNotFound"},
		{Status: http.StatusServiceUnavailable, Code: "SlowDown"},
	} {
		proxy.Set(f)
		s.sync(im.Store)
		if a := s.get(fmt.Sprintf(path, 7*i)); a.status != http.StatusOK && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "") {
			t.Errorf("%+v: %d %s", f, a.status, a.body)
		}
		for name, other := range s.images() {
			if other.State != "available" {
				t.Errorf("%+v: %s is %s", f, name, other.State)
			}
		}
	}
	proxy.Set()
	s.until("the bucket answers again", func() bool {
		return s.get(fmt.Sprintf(path, 500)).status == http.StatusOK
	})
}

// newBucket returns a server with an empty bucket, an empty catalog, and the flags for both.
func newBucket(t *testing.T) (server *s3test.Server, bucket, data string, flags []string) {
	t.Helper()
	s3test.Env(t)
	server = s3test.New(t)
	data = newCatalog(t)
	return server, server.Bucket(t), data, []string{"--data", data, "--s3-endpoint", server.URL, "--s3-path-style"}
}

// TestStoreAddBucket adds parts of a bucket as stores, and syncs and verifies one, without a
// server.
func TestStoreAddBucket(t *testing.T) {
	server, bucket, data, flags := newBucket(t)
	server.Put(t, bucket, "a/"+patient+".tiff", philips.bytes(t))
	id := strings.TrimSpace(done(t, append([]string{"store", "add", "s3://" + bucket + "/a"}, flags...)...))
	if out := done(t, append([]string{"sync", id}, flags...)...); !strings.Contains(out, "added") {
		t.Errorf("sync: %s", out)
	}
	if out := done(t, "store", "list", "--data", data); !strings.Contains(out, "s3://"+bucket+"/a/") {
		t.Errorf("store list: %s", out)
	}
	if out := done(t, "store", "show", "s3://"+bucket+"/a", "--data", data); !strings.Contains(out, "s3") {
		t.Errorf("store show: %s", out)
	}
	digest := done(t, append([]string{"verify", id}, flags...)...)
	if !strings.Contains(digest, "1 files are undamaged, 1 of them hashed") {
		t.Errorf("verify: %s", digest)
	}
}

// TestManagedBucket uploads into a managed store in a bucket, and shows, deletes and restores what
// arrived.
func TestManagedBucket(t *testing.T) {
	_, bucket, _, flags := newBucket(t)
	id := strings.TrimSpace(done(t, append([]string{"store", "add", "s3://" + bucket + "/archive", "--managed", "--label", "Archive"}, flags...)...))
	if r := command(t, append([]string{"store", "add", "s3://" + bucket, "--managed"}, flags...)...); r.code == exitOK {
		t.Errorf("a store around another: %s", r.out)
	}
	s := start(t, append([]string{"serve"}, flags...)...)
	dir := slidesIn(t, map[string]*slideFile{patient + ".tiff": philips, "copy.tiff": philips, "broken.tiff": plain})
	if err := os.Truncate(filepath.Join(dir, "broken.tiff"), 3000); err != nil {
		t.Fatal(err)
	}
	for name, state := range map[string]string{patient + ".tiff": "available", "broken.tiff": "quarantined"} {
		var got struct{ Items []uploaded }
		r := command(t, "upload", filepath.Join(dir, name), "--to", s.url, "--store", id, "--state-dir", t.TempDir(), "--json")
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Items) != 1 || got.Items[0].State != state {
			t.Fatalf("upload: %v %s %s", err, r.out, r.err)
		}
	}
	if r := command(t, "upload", filepath.Join(dir, "copy.tiff"), "--to", s.url, "--store", id, "--state-dir", t.TempDir()); r.code != exitOK {
		t.Errorf("a second copy: %v", r)
	}
	im := s.available(patient + ".tiff")
	for _, path := range inBucket {
		if a := s.get(address(path, im)); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	sameTile(t, "the uploaded slide", s.get("/api/v1/images/"+im.ID+"/tiles/3/0/0"), philips, 0, 0, 0)
	if b := s.images()["broken.tiff"]; b.State != "quarantined" {
		t.Errorf("the broken file is %q", b.State)
	}
	if n := len(s.images()); n != 2 {
		t.Errorf("%d images, want 2: %v", n, s.images())
	}
	s.sync(id)
	if v := done(t, append([]string{"verify", id}, flags...)...); !strings.Contains(v, "1 files are undamaged") {
		t.Errorf("verify: %s", v)
	}
	if a := s.ask("DELETE", "/api/v1/images/"+im.ID); a.status != http.StatusNoContent {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	s.sync(id)
	if _, there := s.images()[patient+".tiff"]; there {
		t.Error("a deleted image is in the list after a sync")
	}
	if a := s.ask("POST", "/api/v1/images/"+im.ID+"/restore"); a.status != http.StatusOK {
		t.Errorf("restore: %d %s", a.status, a.body)
	}
	sameTile(t, "the restored slide", s.get("/api/v1/images/"+im.ID+"/tiles/3/0/0"), philips, 0, 0, 0)
	if a := s.ask("POST", "/api/v1/images/"+im.ID+"/retry"); a.status != http.StatusOK {
		t.Errorf("retry: %d %s", a.status, a.body)
	}
	if out := done(t, append([]string{"doctor"}, flags...)...); strings.Contains(out, patient) {
		t.Errorf("doctor names a patient: %s", out)
	}
}

// TestStoreMove moves the slides of a scanner's folder to a bucket while a server serves them: ids
// and tiles stay, and so do the scanner's files.
func TestStoreMove(t *testing.T) {
	_, bucket, data, flags := newBucket(t)
	dir := slidesIn(t, map[string]*slideFile{patient + ".tiff": philips, "b.tiff": plain})
	s := start(t, append([]string{"serve", dir}, flags...)...)
	im := s.available(patient + ".tiff")
	s.available("b.tiff")
	tile := "/api/v1/images/" + im.ID + "/tiles/3/0/0"
	before := s.get(tile)
	to := "s3://" + bucket + "/archive"
	if out := done(t, append([]string{"store", "move", im.Store, "--to", to, "--dry-run"}, flags...)...); !strings.Contains(out, "2 of 2 slides can be moved") {
		t.Errorf("dry run: %s", out)
	}
	if list := done(t, "store", "list", "--data", data); strings.Contains(list, to) {
		t.Errorf("stores after a dry run: %s", list)
	}
	if out := done(t, append([]string{"store", "move", im.Store, "--to", to}, flags...)...); !strings.Contains(out, "2 of 2 slides moved") {
		t.Errorf("move: %s", out)
	}
	s.until("the image is in the other store", func() bool {
		after := s.get(tile)
		if after.status != http.StatusOK || after.body != before.body || after.header.Get("Etag") != before.header.Get("Etag") {
			t.Fatalf("tile: %d, %d bytes, %s; before %d bytes, %s", after.status, len(after.body), after.header.Get("Etag"), len(before.body), before.header.Get("Etag"))
		}
		return s.images()[patient+".tiff"].Store != im.Store
	})
	for _, path := range inBucket {
		if a := s.get(address(path, s.images()[patient+".tiff"])); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	s.sync(im.Store)
	if images := s.images(); len(images) != 2 || images[patient+".tiff"].ID != im.ID {
		t.Errorf("images after a sync of the folder: %v", images)
	}
	if _, err := os.Stat(filepath.Join(dir, patient+".tiff")); err != nil {
		t.Errorf("the scanner's file: %v", err)
	}
	if out := done(t, append([]string{"store", "move", im.Store, "--to", to}, flags...)...); !strings.Contains(out, "0 of 0 slides moved") {
		t.Errorf("again: %s", out)
	}
	done(t, append([]string{"store", "set", im.Store, "--move-to", to, "--move-after", "90d"}, flags[:2]...)...)
	if out := done(t, "store", "show", im.Store, "--data", data, "--json"); !strings.Contains(out, `"move_to": "`+to+`/"`) || !strings.Contains(out, `"move_after": "2160h`) {
		t.Errorf("store show: %s", out)
	}
}
