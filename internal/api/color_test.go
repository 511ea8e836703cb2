package api_test

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/picture"
)

// colored adds slides of the same pixels: without a profile, and with one that can be used, one that is sRGB,
// and one that cannot be used.
func (st *site) colored() (ids map[string]string) {
	st.t.Helper()
	cmyk := synth.ScannerProfile()
	copy(cmyk[16:], "CMYK")
	for name, p := range map[string][]byte{"none": nil, "scanner": synth.ScannerProfile(), "cmyk": cmyk, "damaged": synth.ScannerProfile()[:300]} {
		st.write(synth.Generic{Seed: 5, Width: 500, Height: 400, TileW: 128, TileH: 128, ICC: p}, "slides/"+name+".tiff")
	}
	return st.slides(nil)
}

// A table of colours that are sRGB is empty, and cached like other tables.
func TestNoTable(t *testing.T) {
	profile, err := os.ReadFile("/usr/share/color/icc/sRGB.icc")
	if err != nil {
		t.Skip("no profile of sRGB (Debian: icc-profiles-free)")
	}
	st := newSite(t)
	st.write(synth.Generic{Width: 50, Height: 40, ICC: profile}, "slides/a.tiff")
	at := "/api/v1/images/" + st.slides(nil)["a.tiff"]
	rev := st.object("GET", at, "", 200)["revision"].(string)
	for query, want := range map[string]string{"": "private, max-age=60", "?v=" + rev: "private, max-age=31536000, immutable"} {
		if a := st.get(at + "/icc/lut" + query); a.status != 204 || a.header.Get("Cache-Control") != want {
			t.Errorf("lut%s: %d %v, want 204 and %s", query, a.status, a.header, want)
		}
	}
}

// TestProfileRoutes requests profiles, tables, and what the record of an image says about them.
func TestProfileRoutes(t *testing.T) {
	st := newSite(t)
	ids := st.colored()
	at := func(name string) string { return "/api/v1/images/" + ids[name+".tiff"] }
	profile := synth.ScannerProfile()
	a := st.get(at("scanner") + "/icc")
	if a.status != 200 || a.header.Get("Content-Type") != "application/vnd.iccprofile" || !bytes.Equal(a.body, profile) {
		t.Errorf("icc: %d %s, %d bytes", a.status, a.header.Get("Content-Type"), len(a.body))
	}
	if got := st.get(at("scanner")+"/icc", "If-None-Match", a.header.Get("Etag")); got.status != 304 {
		t.Errorf("icc with its ETag: %d, want 304", got.status)
	}
	if a := st.get(at("damaged") + "/icc"); a.status != 200 || !bytes.Equal(a.body, profile[:300]) {
		t.Errorf("icc of a damaged profile: %d, %d bytes", a.status, len(a.body))
	}
	st.refused("GET", at("none")+"/icc", "", 404, "no colour profile")
	st.refused("GET", at("none")+"/icc/lut", "", 404, "no colour profile")
	st.refused("GET", at("cmyk")+"/icc/lut", "", 422, "CMYK")
	st.refused("GET", at("damaged")+"/icc/lut", "", 422, "it has 300 of its")
	st.refused("GET", at("scanner")+"/icc?v=old", "", 404, "current revision")

	p, err := icc.Parse(profile)
	if err != nil {
		t.Fatal(err)
	}
	rev := st.object("GET", at("scanner"), "", 200)["revision"].(string)
	a = st.get(at("scanner") + "/icc/lut?v=" + rev)
	if a.status != 200 || a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Cache-Control") != "private, max-age=31536000, immutable" ||
		!bytes.Equal(a.body, p.Table().Bytes()) || len(a.body) != 107_811 {
		t.Errorf("lut: %d %v, %d bytes", a.status, a.header, len(a.body))
	}
	for name, want := range map[string]any{
		"none": nil,
		"scanner": map[string]any{
			"name": "Red and green swapped", "class": "scnr", "space": "RGB", "version": "2.1.0", "size": float64(len(profile)), "srgb": false, "usable": true, "in_tiles": false,
		},
		"cmyk": map[string]any{
			"name": "Red and green swapped", "class": "scnr", "space": "CMYK", "version": "2.1.0", "size": float64(len(profile)), "srgb": false, "usable": false, "in_tiles": false,
			"reason": "it is for CMYK pixels, not for RGB",
		},
		"damaged": map[string]any{
			"name": "", "class": "scnr", "space": "RGB", "version": "2.1.0", "size": 300.0, "srgb": false, "usable": false, "in_tiles": false,
			"reason": fmt.Sprintf("it is damaged: it has 300 of its %d bytes", len(profile)),
		},
	} {
		if d := cmp.Diff(want, st.object("GET", at(name), "", 200)["profile"]); d != "" {
			t.Errorf("profile of %s (-want +got):\n%s", name, d)
		}
	}
}

// TestColorParameter requests pictures as scanned, with the profile, and converted.
func TestColorParameter(t *testing.T) {
	st := newSite(t)
	ids := st.colored()
	profile := synth.ScannerProfile()
	p, err := icc.Parse(profile)
	if err != nil {
		t.Fatal(err)
	}
	table := p.Table()
	for _, path := range []string{
		"/api/v1/images/%s/thumbnail?width=200&", "/iiif/3/%s/10,20,300,200/150,/0/default.jpg?", "/iiif/3/%s/128,128,128,128/max/0/default.jpg?",
		"/iiif/2/%s/10,20,300,200/150,/0/default.png?", "/dzi/%s_files/9/1_1.jpg?", "/dzi/%s_files/8/0_0.jpg?",
		"/api/v1/images/%s/region?x=16&y=32&w=256&h=160&", "/api/v1/images/%s/region?x=3&y=5&w=200&h=100&width=120&",
	} {
		at := func(name, icc string) string { return fmt.Sprintf(path, ids[name+".tiff"]) + "icc=" + icc }
		plain := st.get(strings.TrimRight(fmt.Sprintf(path, ids["scanner.tiff"]), "?&"))
		none := st.get(at("scanner", "none"))
		if plain.status != 200 || !bytes.Equal(plain.body, none.body) || plain.header.Get("Etag") != none.header.Get("Etag") {
			t.Errorf("%s: %d, icc=none: %d, or they differ", path, plain.status, none.status)
		}
		want := st.picture(at("scanner", "none"))
		table.Convert(want.Pix, want.Pix)
		if d := picture.Difference(want, st.picture(at("scanner", "srgb"))); d < 0 || d > 4 {
			t.Errorf("%s: converted pixels differ by %.1f from those of the table", path, d)
		}
		if d := picture.Difference(st.picture(at("none", "none")), st.picture(at("none", "srgb"))); d != 0 {
			t.Errorf("%s: pixels without a profile differ by %.1f", path, d)
		}
		e := st.get(at("scanner", "embed"))
		if e.header.Get("Content-Type") == "image/png" {
			if _, err := png.Decode(bytes.NewReader(e.body)); err != nil || !bytes.Contains(e.body, []byte("iCCPicc\x00\x00")) {
				t.Errorf("%s with icc=embed: %v", path, err)
			}
		} else if got, err := slide.JPEGProfile(e.body); err != nil || !bytes.Equal(got, profile) {
			t.Errorf("%s with icc=embed: a profile of %d bytes, %v", path, len(got), err)
		}
		if e.header.Get("Etag") == plain.header.Get("Etag") {
			t.Errorf("%s with icc=embed: the same ETag", path)
		}
		st.refused("GET", at("scanner", "p3"), "", 400, "srgb")
		st.refused("GET", at("cmyk", "srgb"), "", 422, "CMYK")
		st.refused("GET", at("damaged", "embed"), "", 422, "damaged")
	}
	for _, format := range []string{"raw", "png"} { // lossless
		at := "/api/v1/images/" + ids["scanner.tiff"] + "/region?w=64&h=48&format=" + format
		want := pixelsOf(t, st.get(at))
		table.Convert(want.Pix, want.Pix)
		if d := picture.Difference(want, pixelsOf(t, st.get(at+"&icc=srgb"))); d != 0 {
			t.Errorf("%s: converted pixels differ by %.1f from those of the table", at, d)
		}
	}
	at := "/api/v1/images/" + ids["scanner.tiff"] + "/region?w=64&h=48&format=png&icc=embed"
	if a := st.get(at); !bytes.Contains(a.body, []byte("iCCP")) || pixelsOf(t, a).Rect.Dx() != 64 {
		t.Errorf("%s: %d, no profile", at, a.status)
	}
}
