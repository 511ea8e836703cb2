package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// wantJPEG checks that a response is a picture. Width and height are in pixels; 0 is any.
func wantJPEG(t *testing.T, path string, a answer, width, height int) {
	t.Helper()
	if a.status != 200 || a.header.Get("Content-Type") != "image/jpeg" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("GET %s: %d %v %.200s", path, a.status, a.header, a.body)
		return
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(a.body))
	if err != nil {
		t.Errorf("GET %s: %v", path, err)
		return
	}
	if width > 0 && c.Width != width || height > 0 && c.Height != height {
		t.Errorf("GET %s: %d×%d pixels, want %d×%d", path, c.Width, c.Height, width, height)
	}
}

func TestPictures(t *testing.T) {
	st := newSite(t)
	ids := st.slides(map[string]synth.Philips{
		"whole.tiff": {Label: true, Macro: true, Barcode: "S26-1;A1"},
		"bare.tiff":  {Seed: 1, Barcode: "S26-2;A1"},
		"plain.tiff": {Seed: 2, NoBarcode: true},
	})
	whole := "/api/v1/images/" + ids["whole.tiff"]
	tests := []struct {
		path          string
		width, height int
	}{
		{whole + "/associated/label", 0, 0},
		{whole + "/associated/macro", 0, 0},
		{"/api/v1/images/" + ids["bare.tiff"] + "/associated/label", 0, 0}, // made from the barcode
		{whole + "/preview", 0, 100},
		{whole + "/preview?height=64", 0, 64},
		{whole + "/thumbnail", 256, 0},
		{whole + "/thumbnail?width=100", 100, 0},
		{whole + "/thumbnail?height=50", 0, 50},
		{whole + "/thumbnail?width=40&height=2000", 40, 0},
		// SlideAtlas
		{"/thumb/" + st.store + "/" + ids["whole.tiff"], 0, 100},
		{"/thumb/" + st.store + "/whole.tiff", 0, 100},
		{"/thumb?db=" + st.store + "&img=" + ids["whole.tiff"], 0, 100},
		{"/label?db=" + st.store + "&img=" + ids["whole.tiff"], 0, 0},
		{"/tile/" + st.store + "/" + ids["whole.tiff"] + "/t.jpg", 0, 0},
		{"/tile?db=" + st.store + "&img=" + ids["whole.tiff"] + "&name=tqr.jpg", 128, 128},
		// the prototype
		{"/apiv1/slides/whole.tiff/label/", 0, 0},
		{"/apiv1/slides/whole.tiff/macro/", 0, 0},
		{"/apiv1/slides/whole.tiff/1/1/0", 128, 128},
		// Deep Zoom, with a truncated last tile
		{"/dzi/" + ids["whole.tiff"] + "_files/10/0_0.jpg", 128, 128},
		{"/dzi/" + ids["whole.tiff"] + "_files/0/0_0.jpg", 1, 1},
	}
	for _, tt := range tests {
		a := st.get(tt.path)
		wantJPEG(t, tt.path, a, tt.width, tt.height)
		tag := a.header.Get("Etag")
		if len(tag) < 3 || tag[0] != '"' {
			t.Errorf("GET %s: ETag %q, want a strong one", tt.path, tag)
		}
		if got := a.header.Get("Cache-Control"); !strings.HasPrefix(got, "private, max-age=") {
			t.Errorf("GET %s: Cache-Control %q", tt.path, got)
		}
		if a := st.get(tt.path, "If-None-Match", tag); a.status != 304 || len(a.body) != 0 {
			t.Errorf("GET %s with its ETag: %d, %d bytes, want 304", tt.path, a.status, len(a.body))
		}
		if h := st.ask("HEAD", tt.path, ""); h.status != 200 || h.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			t.Errorf("HEAD %s: %d, %s bytes, want %d", tt.path, h.status, h.header.Get("Content-Length"), len(a.body))
		}
	}
	for _, path := range []string{
		whole + "/associated/thumbnail", whole + "/associated/secret", "/api/v1/images/" + ids["bare.tiff"] + "/associated/macro",
		"/api/v1/images/" + ids["plain.tiff"] + "/associated/label", "/thumb/nowhere/" + ids["whole.tiff"], "/thumb?img=", "/label?db=x&img=y",
		"/apiv1/slides/nobody.tiff/label/",
	} {
		st.refused("GET", path, "", 404, "")
	}
}

// Pictures of a slide, and of different revisions, have different ETags.
func TestPictureTags(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true}})["a.tiff"]
	seen := map[string]string{}
	for _, name := range []string{"associated/label", "associated/macro", "preview", "preview?height=99", "thumbnail", "thumbnail?width=10"} {
		path := "/api/v1/images/" + id + "/" + name
		tag := st.get(path).header.Get("Etag")
		if before := seen[tag]; before != "" {
			t.Errorf("%s has the ETag of %s", name, before)
		}
		seen[tag] = name
	}
}

func TestPictureRevision(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true}})["a.tiff"]
	im, err := st.api.Catalog.Images.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/images/" + id + "/preview?v="
	a := st.get(path + im.Revision)
	if got := a.header.Get("Cache-Control"); a.status != 200 || got != "private, max-age=31536000, immutable" {
		t.Errorf("current revision: %d, Cache-Control %q", a.status, got)
	}
	st.refused("GET", path+"0123", "", 404, "revision")
}

// TestPictureOfChangedFile fails if an overwritten file is shown under the old revision.
func TestPictureOfChangedFile(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true}})["a.tiff"]
	path := "/api/v1/images/" + id + "/thumbnail"
	wantJPEG(t, path, st.get(path), 0, 0)
	file := filepath.Join(st.path("slides"), "a.tiff")
	if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	a := st.get(path)
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("GET %s: %d, Retry-After %q, want 503", path, a.status, a.header.Get("Retry-After"))
	}
	st.isProblem(a)
}

func TestDescriptor(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	a := st.get("/dzi/" + id + ".dzi")
	want := `<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="0" TileSize="128"><Size Width="640" Height="512"/></Image>
`
	if diff := cmp.Diff(want, string(a.body)); diff != "" || a.status != 200 || a.header.Get("Content-Type") != "application/xml" {
		t.Errorf("%d %s (-want +got):\n%s", a.status, a.header.Get("Content-Type"), diff)
	}
	if a := st.get("/dzi/"+id+".dzi", "If-None-Match", a.header.Get("Etag")); a.status != 304 {
		t.Errorf("with its ETag: %d, want 304", a.status)
	}
}

// Shared caches may store pictures of a public store.
func TestPublicPictures(t *testing.T) {
	st := newSite(t)
	_, err := st.api.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error { s.Public = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	for _, path := range []string{"/api/v1/images/" + id + "/thumbnail", "/dzi/" + id + ".dzi"} {
		if got := st.get(path).header.Get("Cache-Control"); !strings.HasPrefix(got, "public, max-age=") {
			t.Errorf("GET %s: Cache-Control %q", path, got)
		}
	}
}

func TestPrototypeList(t *testing.T) {
	st := newSite(t)
	barcode := "S26-1;A1"
	st.record("b.tiff", nil)
	st.record("a.tiff", func(im *catalog.Image) { im.Barcode = &barcode })
	st.record("broken.tiff", func(im *catalog.Image) { im.State = catalog.Broken })
	a := st.get("/apiv1/slides")
	var got struct{ Slides []map[string]string }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{{"name": "a.tiff", "barcode": barcode}, {"name": "b.tiff", "barcode": ""}}
	if diff := cmp.Diff(want, got.Slides); diff != "" {
		t.Errorf("slides (-want +got):\n%s", diff)
	}
}
