package slide

import (
	"encoding/base64"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// OracleFiles are slides with the peculiarities of this package's tests, for a test that
// may import more than this package.
func OracleFiles() map[string][]byte {
	philips := func(change func(f *testFile, x *philipsXML)) []byte {
		x := plainXML
		f := philipsFile("")
		change(&f, &x)
		f.dirs[0].fields[tiff.TagImageDescription] = x.String()
		return f.bytes()
	}
	inXML := func(kind string, w, h int) string {
		return imageObject(kind, attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(testJPEG(w, h, "xml;"))))
	}
	generic := func(dirs ...testDir) []byte { return testFile{dirs: dirs}.bytes() }
	return map[string][]byte{
		"philips":             philips(func(*testFile, *philipsXML) {}),
		"philips BigTIFF":     philips(func(f *testFile, _ *philipsXML) { f.big = true }),
		"philips big-endian":  philips(func(f *testFile, _ *philipsXML) { f.bigEndian = true }),
		"philips mpp":         philips(func(_ *testFile, x *philipsXML) { x.spacing = "&quot;0.0005&quot; &quot;0.00025&quot;" }),
		"philips sparse":      philips(func(f *testFile, _ *philipsXML) { f.dirs[0].data[3], f.dirs[1].data[5] = nil, nil }),
		"philips spare":       philips(func(f *testFile, _ *philipsXML) { f.dirs[1] = described(reduced(tiledDir(320, 256, "1:")), 1) }),
		"philips missing row": philips(func(f *testFile, _ *philipsXML) { f.dirs[1] = described(reduced(tiledDir(256, 128, "1:")), 1) }),
		"philips tables in tiles": philips(func(f *testFile, _ *philipsXML) {
			for i := range f.dirs[0].data {
				f.dirs[0].data[i] = testJPEG(testTile, testTile, "whole")
			}
		}),
		"philips pictures in directories": philips(func(f *testFile, _ *philipsXML) {
			f.dirs = append(f.dirs, stripDir(90, 40, 40, "Macro"), stripDir(40, 50, 50, "Label"))
		}),
		"philips pictures in strips": philips(func(f *testFile, _ *philipsXML) {
			f.dirs = append(f.dirs, stripDir(90, 40, 16, "Macro"), stripDir(40, 50, 16, "Label"))
		}),
		"philips pictures in XML": philips(func(_ *testFile, x *philipsXML) {
			x.images = inXML("LABELIMAGE", 30, 31) + inXML("MACROIMAGE", 70, 33)
		}),
		"philips pictures in both": philips(func(f *testFile, x *philipsXML) {
			f.dirs = append(f.dirs, stripDir(40, 50, 50, "Label"))
			x.images = inXML("LABELIMAGE", 30, 31) + inXML("MACROIMAGE", 70, 33)
		}),
		"philips label damaged": philips(func(f *testFile, x *philipsXML) {
			label := stripDir(40, 50, 50, "Label")
			label.fields[tiff.TagCompression] = uint16(compressionAperioRGB)
			f.dirs = append(f.dirs, label)
			x.images = inXML("LABELIMAGE", 30, 31)
		}),
		"philips spacings missing": philips(func(_ *testFile, x *philipsXML) { x.levels = nil }),
		"philips software gone":    philips(func(f *testFile, _ *philipsXML) { delete(f.dirs[0].fields, tiff.TagSoftware) }),
		"philips not reduced":      philips(func(f *testFile, _ *philipsXML) { delete(f.dirs[1].fields, tiff.TagNewSubfileType) }),
		"generic":                  generic(tiledDir(500, 300, "0:"), reduced(tiledDir(250, 150, "1:")), reduced(tiledDir(62, 37, "2:"))),
		"generic deflate":          deflated().bytes(),
		"generic whole tiles": generic(tiledDir(200, 100, "0:").with(fields{
			tiff.TagJPEGTables: []byte{0xff, markSOI, 0xff, markEOI},
		}).each(func([]byte) []byte { return testJPEG(testTile, testTile, "whole") })),
		"generic JFIF, tag says RGB": generic(tiledDir(128, 64, "0:").with(fields{tiff.TagPhotometric: uint16(rgb)}).each(func(b []byte) []byte { return insert(b, jfif) })),
		"sdk sparse": func() []byte {
			f := philipsFile("")
			for i := range f.dirs {
				delete(f.dirs[i].fields, tiff.TagSoftware)
				delete(f.dirs[i].fields, tiff.TagImageDescription)
			}
			f.dirs[0].data[8] = nil
			return f.bytes()
		}(),
	}
}

// described sets the description of a smaller level.
func described(d testDir, n int) testDir {
	return d.with(fields{tiff.TagImageDescription: "level=" + string(rune('0'+n)) + " mag=20 quality=80"})
}

// each changes the tiles of d.
func (d testDir) each(to func([]byte) []byte) testDir {
	d.data = slices.Clone(d.data)
	for i := range d.data {
		d.data[i] = to(d.data[i])
	}
	return d
}
