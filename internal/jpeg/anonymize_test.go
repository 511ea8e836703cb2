package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// segments returns the markers of a header and their data.
func segments(t *testing.T, data []byte) (list []string) {
	t.Helper()
	h, err := ParseHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.Segments {
		if isApplication(s.Mark) || s.Mark == MarkCOM {
			list = append(list, string(s.Mark)+" "+string(s.Data))
		}
	}
	return list
}

// TestAnonymize checks what stays of a header, and that the pixels and the length do.
func TestAnonymize(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 40, 24), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	segment := func(mark byte, data string) string {
		return string([]byte{0xff, mark, byte((len(data) + 2) >> 8), byte(len(data) + 2)}) + data
	}
	jfif := "JFIF\x00\x01\x02\x00\x00\x01\x00\x01"
	adobe := "Adobe\x00\x64\x00\x00\x00\x00\x01"
	icc := "ICC_PROFILE\x00\x01\x01profile"
	data := []byte("\xff\xd8" + segment(MarkAPP0, jfif+"\x01\x01abc") + segment(MarkAPP0, "JFXX\x00\x10secret") +
		segment(0xe1, "Exif\x00\x00secret") + segment(MarkCOM, "secret") + segment(MarkAPP2, icc) + segment(MarkAPP2, "MPF\x00secret") +
		segment(MarkAPP14, adobe) + segment(0xed, "Photoshop 3.0 secret") + b.String()[2:])
	before, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	n := len(data)
	Anonymize(data)
	want := []string{"\u00e0 " + jfif + "\x00\x00", "\u00e2 " + icc, "\u00ee " + adobe}
	if diff := cmp.Diff(want, segments(t, data)); diff != "" {
		t.Error(diff)
	}
	if len(data) != n || strings.Contains(string(data), "secret") {
		t.Errorf("%d bytes instead of %d: %q", len(data), n, data[:200])
	}
	after, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

// FuzzAnonymize checks that a damaged header neither stops the program nor changes behind it.
func FuzzAnonymize(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00\xff\xfe\x00\x04ab\xff\xd9"))
	f.Add([]byte("\xff\xd8\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHeader(data)
		before := bytes.Clone(data)
		Anonymize(data)
		if err == nil && !bytes.Equal(before[h.Body:], data[h.Body:]) {
			t.Error("the pixels changed")
		}
		if err != nil {
			return
		}
		if g, err := ParseHeader(data); err != nil || g.Body != h.Body {
			t.Errorf("the header has another length, or %v", err)
		}
	})
}
