package slide

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// FuzzOpen opens its input and reads everything in it.
func FuzzOpen(f *testing.F) {
	x := plainXML
	x.images = imageObject("LABELIMAGE", attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(testJPEG(16, 16, "label;"))))
	x.more = attribute("DICOM_ICCPROFILE", "AAAA")
	for _, file := range []testFile{{}, {big: true}, {bigEndian: true}} {
		file.dirs = []testDir{
			tiledDir(96, 64, "0:").with(fields{tiff.TagImageDescription: x.String(), tiff.TagSoftware: "Philips DP v1.0"}),
			reduced(tiledDir(64, 64, "1:")).with(fields{tiff.TagImageDescription: "level=1 mag=20 quality=80"}),
			stripDir(16, 16, 8, "Macro"),
		}
		f.Add(file.bytes())
	}
	f.Add(deflated().bytes())
	f.Add(testFile{dirs: []testDir{tiledDir(64, 64, "0:").with(fields{tiff.TagImageDescription: "Aperio\r\n|MPP = 0.5|AppMag = 20"})}}.bytes())
	sub := tiledDir(96, 64, "0:")
	sub.subs = []testDir{reduced(tiledDir(48, 32, "1:"))}
	f.Add(testFile{dirs: []testDir{sub}}.bytes())
	if odd, err := filepath.Glob(filepath.Join(os.Getenv("PTIFFSTORE_TESTDATA"), "tiff-*", "*")); err == nil {
		for _, path := range odd {
			if b, err := os.ReadFile(path); err == nil && len(b) < 32<<10 {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

// FuzzSplice combines tables and a tile. The result is a stream from SOI to EOI whose
// header can be parsed again and lacks no table.
func FuzzSplice(f *testing.F) {
	whole := testJPEG(16, 16, "x")
	tables, tile := splitJPEG(whole)
	f.Add(tables, tile, false)
	f.Add(tables, tile, true)
	f.Add(tables, whole, true)
	f.Add([]byte(nil), insert(whole, jfif), true)
	f.Add(tables, without(whole, markDHT), false)
	f.Fuzz(func(t *testing.T, tables, tile []byte, rgb bool) {
		if len(tables) > maxTables {
			return
		}
		sp, bad := newSplicer(tables, rgb)
		if bad != nil {
			return
		}
		var h, again header
		b, bad := sp.finish(append(make([]byte, sp.reserve()), tile...), 0, &h)
		if bad != nil {
			return
		}
		if !bytes.HasPrefix(b, []byte{0xff, markSOI}) || !bytes.HasSuffix(b, []byte{0xff, markEOI}) {
			t.Fatalf("%d bytes from % x", len(b), b[:min(len(b), 16)])
		}
		if bad := parseHeader(b, &again); bad != nil {
			t.Fatalf("its own output: %v", bad)
		}
		if again.needed&^again.defined != 0 || again.width != h.width || again.height != h.height {
			t.Fatalf("header %+v, was %+v", again, h)
		}
	})
}
