package dicomweb

import (
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/dicom"
)

func TestFrameForm(t *testing.T) {
	const syntax = dicom.JPEGBaseline
	for _, c := range []struct {
		accept  string
		several bool
		want    string // "related", the media type, or "" for none
	}{
		{"", false, "related"},
		{"*/*", false, "related"},
		{"*/*", true, "related"},
		{`multipart/related; type="application/octet-stream"; transfer-syntax=*`, false, "related"},
		{`multipart/related; type=application/octet-stream; transfer-syntax="*"`, true, "related"},
		{`multipart/related;type="image/jpeg";transfer-syntax=` + syntax, false, "related"},
		{`multipart/related; type="image/jpeg; transfer-syntax=` + syntax + `"`, false, "related"},
		{`multipart/related; type="image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90"`, false, ""},
		{`Multipart/Related; Type="image/jpeg"`, false, "related"},
		{`multipart/related`, false, "related"},
		{`multipart/related; type="image/*"`, false, "related"},
		{`multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90, multipart/related; type="image/jpeg"; transfer-syntax=` + syntax, false, "related"},
		{`multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1`, false, ""},
		{"image/jpeg", false, "image/jpeg"},
		{"image/*", false, "image/jpeg"},
		{"image/jpeg; transfer-syntax=" + syntax, false, "image/jpeg"},
		{"image/jpeg", true, ""},
		{"application/octet-stream", false, "application/octet-stream"},
		{"image/jp2, text/html", false, ""},
		{"text/html, image/jpeg;q=0.5, */*;q=0.1", false, "image/jpeg"},
		{"image/jpeg;q=0, */*;q=0.1", false, "related"},
		{`image/jpeg;q=0.2, multipart/related;type="image/jpeg";q=0.9`, false, "related"},
		{"nonsense", false, ""},
		{`multipart/related; type="a, b"; q=2`, false, ""},
		{strings.Repeat("text/html,", 1000) + "image/jpeg", false, ""},
	} {
		f, ok := frameForm(c.accept, syntax, typeJPEG, c.several)
		got := f.part
		if f.related {
			got = "related"
		}
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("%.100s several=%v: %q, want %q", c.accept, c.several, got, c.want)
		}
	}
}

func TestOtherForms(t *testing.T) {
	for _, c := range []struct{ form, accept, want string }{
		{"json", "", typeJSON},
		{"json", "*/*", typeJSON},
		{"json", "application/json", typePlainJSON},
		{"json", "application/json, application/dicom+json", typePlainJSON},
		{"json", `multipart/related; type="application/dicom+xml"`, ""},
		{"json", "text/html,application/xhtml+xml,*/*;q=0.8", typeJSON},
		{"picture", "", typeJPEG},
		{"picture", "image/png", typePNG},
		{"picture", "image/avif,image/webp,image/png;q=0.9,*/*;q=0.8", typePNG},
		{"picture", "image/gif", ""},
	} {
		got := jsonForm(c.accept)
		if c.form == "picture" {
			got = pictureForm(c.accept)
		}
		if got != c.want {
			t.Errorf("%s of %q: %q, want %q", c.form, c.accept, got, c.want)
		}
	}
	for accept, want := range map[string]bool{"": true, `multipart/related; type="application/dicom"; transfer-syntax=*`: true, `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1`: false, "application/dicom": false} {
		if _, ok := objectForm(accept, []string{dicom.JPEGBaseline}, true); ok != want {
			t.Errorf("files, %q: %v", accept, ok)
		}
	}
}

func TestRelatedMatch(t *testing.T) {
	for v, want := range map[string]string{"": "", "*": "*", `"related-a"`: `"a"`, `"a"`: "", `"a", "related-b"`: `"b"`} {
		if got := relatedMatch(v); got != want {
			t.Errorf("%s: %s, want %s", v, got, want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add(`multipart/related; type="application/octet-stream"; transfer-syntax=*`, "viewport=1,2&quality=3")
	f.Add(`multipart/related; type="image/jpeg; transfer-syntax=\"a;b\""; q=0.5, image/jpeg`, "StudyDate=20240101-&includefield=all,00080020")
	f.Add(`;;,,"\`, "limit=1&offset=2&fuzzymatching=true&StudyInstanceUID=1.2,3.4")
	f.Fuzz(func(t *testing.T, accept, query string) {
		if list := parseAccept(accept); len(list) > maxRanges {
			t.Errorf("%d ranges", len(list))
		}
		if got, ok := frameForm(accept, dicom.JPEGBaseline, typeJPEG, true); ok && !got.related {
			t.Errorf("several frames as %q", got.part)
		}
		if g, err := parseRendering(query); err == nil {
			if _, w, h, err := g.fit(300, 200); err == nil && (w < 1 || h < 1 || w > maxViewport || h > maxViewport) {
				t.Errorf("%s: %d×%d pixels", query, w, h)
			}
		}
		for l := studies; l <= instances; l++ {
			q, err := parseQuery(query, l)
			if err != nil {
				continue
			}
			for _, w := range q.warnings {
				if strings.ContainsAny(w, "\r\n\"\\") {
					t.Errorf("warning %q", w)
				}
			}
			for i := range q.conditions {
				q.conditions[i].matches(&dicom.Element{Text: []string{"", "SM", "20240101", accept}})
			}
		}
	})
}
