package tiletest

import (
	"bytes"
	"image"
	"image/jpeg"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// colors requests tiles with the profile of their slide, and converted with it. Without the parameter, a
// tile has the bytes of the file.
func colors(t *testing.T, site *Site, base string) {
	profile := synth.ScannerProfile()
	broken := bytes.Clone(profile)
	copy(broken[16:], "CMYK")
	for id, icc := range map[string][]byte{"swapped": profile, "unusable": broken, "nonsense": []byte("no profile at all")} {
		g := synth.Generic{Seed: 3, Width: 500, Height: 400, TileW: tileSize, TileH: tileSize, Sparse: true, ICC: icc}
		if _, err := g.Write(filepath.Join(site.Dir, id+".tiff")); err != nil {
			t.Fatal(err)
		}
		site.Add(t, id, id+".tiff")
	}
	url := func(id, query string) string { return base + "/api/v1/images/" + id + "/tiles/2/1/1.jpg" + query }
	stored, err := site.Slides["swapped"].AppendTile(nil, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	plain := get(t, url("swapped", ""))
	if !bytes.Equal(plain.body, stored) {
		t.Error("without icc: not the bytes of the file")
	}
	if a := get(t, url("swapped", "?icc=none")); !bytes.Equal(a.body, stored) || a.header.Get("ETag") != plain.header.Get("ETag") {
		t.Error("icc=none: not as without it")
	}
	embedded := get(t, url("swapped", "?icc=embed"))
	if got, err := slide.JPEGProfile(embedded.body); err != nil || !bytes.Equal(got, profile) {
		t.Errorf("icc=embed: a profile of %d bytes, %v", len(got), err)
	}
	if !bytes.Equal(pixelsOf(t, embedded.body), pixelsOf(t, stored)) {
		t.Error("icc=embed: the pixels have changed")
	}
	converted := get(t, url("swapped", "?icc=srgb"))
	parsed, err := icc.Parse(profile)
	if err != nil {
		t.Fatal(err)
	}
	want := pixelsOf(t, stored)
	parsed.Table().Convert(want, want)
	if d := distance(want, pixelsOf(t, converted.body)); d > 4 {
		t.Errorf("icc=srgb: a mean difference of %.1f from the converted pixels", d)
	}
	if d := distance(pixelsOf(t, stored), pixelsOf(t, converted.body)); d < 8 {
		t.Errorf("icc=srgb: a mean difference of only %.1f from the stored pixels", d)
	}
	tags := map[string]string{}
	for query, a := range map[string]answer{"": plain, "?icc=embed": embedded, "?icc=srgb": converted} {
		tag := a.header.Get("ETag")
		if before, ok := tags[tag]; ok {
			t.Errorf("%q and %q have the ETag %s", query, before, tag)
		}
		tags[tag] = query
	}
	for tag, query := range tags {
		for _, other := range tags {
			status := 200
			if other == query {
				status = 304
			}
			if a := ask(t, "GET", url("swapped", other), "If-None-Match", `"x", `+tag); a.status != status {
				t.Errorf("%q with the ETag of %q: status %d, want %d", other, query, a.status, status)
			}
		}
	}
	if a := ask(t, "HEAD", url("swapped", "?icc=embed")); a.status != 200 || len(a.body) != 0 || a.header.Get("Content-Length") == plain.header.Get("Content-Length") {
		t.Errorf("HEAD with icc=embed: %d, %s bytes", a.status, a.header.Get("Content-Length"))
	}
	im, err := site.Tiles.Image("swapped")
	if err != nil {
		t.Fatal(err)
	}
	if a := get(t, url("swapped", "?icc=embed&v="+im.File.Revision)); a.header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("with the revision: Cache-Control %q", a.header.Get("Cache-Control"))
	}
	for _, tt := range []struct {
		id, query string
		status    int
	}{
		{"swapped", "?icc=other", 400},
		{"swapped", "?icc=SRGB", 400},
		{"unusable", "?icc=embed", 422},
		{"unusable", "?icc=srgb", 422},
		{"unusable", "", 200},
		{"nonsense", "?icc=srgb", 422},
		{"nonsense", "?icc=none", 200},
		{"swapped", "?icc=embed&v=gone", 404},
	} {
		if a := get(t, url(tt.id, tt.query)); a.status != tt.status {
			t.Errorf("%s with %s: status %d, want %d", tt.id, tt.query, a.status, tt.status)
		}
	}
	// A slide without a profile is sent as without the parameter, empty tiles too.
	for _, tile := range []string{"0/0/0", "3/0/0"} {
		u := base + "/api/v1/images/a/tiles/" + tile
		was := get(t, u)
		for _, query := range []string{"?icc=embed", "?icc=srgb"} {
			if a := get(t, u+query); a.status != 200 || !bytes.Equal(a.body, was.body) || a.header.Get("ETag") != was.header.Get("ETag") {
				t.Errorf("%s without a profile, %s: %d, not as without the parameter", tile, query, a.status)
			}
		}
	}
}

// pixelsOf decodes a JPEG to R, G, B and A.
func pixelsOf(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	out := image.NewRGBA(img.Bounds())
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Set(x, y, img.At(x, y))
		}
	}
	return out.Pix
}

// distance is the mean difference of bytes.
func distance(a, b []byte) float64 {
	if len(a) != len(b) {
		return 256
	}
	sum := 0
	for i := range a {
		sum += max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return float64(sum) / float64(len(a))
}
