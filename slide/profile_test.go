package slide

import (
	"bytes"
	"slices"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// withProfile returns a JPEG with the parts of a profile in APP2 segments; each part has its
// number and their count in front.
func withProfile(jpeg []byte, parts ...string) []byte {
	var app2 []byte
	for _, p := range parts {
		seg := profileMark + p
		app2 = append(app2, 0xff, markAPP2, 0, byte(len(seg)+2))
		app2 = append(app2, seg...)
	}
	return slices.Insert(bytes.Clone(jpeg), 2, app2...)
}

func TestJPEGProfile(t *testing.T) {
	jpeg := testJPEG(16, 16, "x")
	for _, tt := range []struct {
		name, want string
		b          []byte
		wantErr    bool
	}{
		{"one part", "abc", withProfile(jpeg, "\x01\x01abc"), false},
		{"in any order", "abcdef", withProfile(jpeg, "\x02\x03cd", "\x01\x03ab", "\x03\x03ef"), false},
		{"none", "", jpeg, false},
		{"another APP2", "", slices.Insert(bytes.Clone(jpeg), 2, 0xff, markAPP2, 0, 6, 'F', 'P', 'X', 'R'), false},
		{"not a JPEG", "", []byte("II*\x00"), false},
		{"empty", "", nil, false},
		{"cut", "", withProfile(jpeg, "\x01\x01abc")[:12], false},
		{"one of two", "", withProfile(jpeg, "\x01\x02abc"), true},
		{"twice", "", withProfile(jpeg, "\x01\x02abc", "\x01\x02abc"), true},
		{"number 0", "", withProfile(jpeg, "\x00\x02abc"), true},
		{"beyond the last", "", withProfile(jpeg, "\x03\x02abc"), true},
		{"other count", "", withProfile(jpeg, "\x01\x02abc", "\x02\x03abc"), true},
	} {
		got, err := JPEGProfile(tt.b)
		if string(got) != tt.want || (err != nil) != tt.wantErr {
			t.Errorf("%s: %q, %v; want %q, error %v", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}

// TestTileICC finds the profile in the tiles, also if some are empty.
func TestTileICC(t *testing.T) {
	d := tiledDir(448, 320, "0:")
	for i := range d.data {
		if d.data[i] = withProfile(d.data[i], "\x01\x01of the tile"); i != 4 {
			d.data[i] = nil
		}
	}
	f := testFile{dirs: []testDir{d, reduced(tiledDir(224, 160, "1:"))}}
	if got, err := f.open(t).ICC(); string(got) != "of the tile" || err != nil {
		t.Errorf("ICC = %q, %v", got, err)
	}
	f.dirs[0].fields[tiff.TagICCProfile] = []byte("of the tag")
	s := f.open(t)
	if got, err := s.ICC(); string(got) != "of the tag" || err != nil {
		t.Errorf("with a tag: ICC = %q, %v", got, err)
	}
	if got, err := s.TileICC(); string(got) != "of the tile" || err != nil {
		t.Errorf("with a tag: TileICC = %q, %v", got, err)
	}
}

// TestAssociatedICC: the thumbnail of an Aperio slide has the profile of level 0 if both have one
// of the same name; labels and macros have their own or none.
func TestAssociatedICC(t *testing.T) {
	const head = "Aperio Image Library v11\r\n448x320"
	for _, tt := range []struct {
		name, level, thumbnail, kind string
		own                          string
		want                         string
	}{
		{"same name", "|ICC Profile = S1", "|ICC Profile = S1", "thumbnail", "", "of level 0"},
		{"other name", "|ICC Profile = S1", "|ICC Profile = S2", "thumbnail", "", ""},
		{"no names", "|AppMag = 20", "|AppMag = 20", "thumbnail", "", ""},
		{"its own", "|ICC Profile = S1", "|ICC Profile = S2", "thumbnail", "own", "own"},
		{"macro", "|ICC Profile = S1", "", "macro", "", ""},
		{"macro with its own", "|ICC Profile = S1", "", "macro", "own", "own"},
	} {
		thumb := stripDir(100, 70, 70, head+" -> 100x70 - "+tt.thumbnail)
		if tt.kind == "macro" {
			thumb = stripDir(100, 70, 70, "Aperio Image Library v11\r\nmacro 100x70")
		}
		delete(thumb.fields, tiff.TagNewSubfileType)
		if tt.own != "" {
			thumb.fields[tiff.TagICCProfile] = []byte("own" + "     ")
		}
		first := tiledDir(448, 320, "0:")
		first.fields[tiff.TagImageDescription] = head + tt.level
		first.fields[tiff.TagICCProfile] = []byte("of level 0")
		s := testFile{dirs: []testDir{first, thumb}}.open(t)
		got, err := s.AssociatedICC(tt.kind)
		if string(bytes.TrimRight(got, " ")) != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
