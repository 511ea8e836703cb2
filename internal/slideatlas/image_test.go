package slideatlas

import (
	"image"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestDecodeImage(t *testing.T) {
	got, err := DecodeImage(encode(t, bson.D{
		{Key: "_id", Value: oid(1)},
		{Key: "filename", Value: "S-12.ndpi"},
		{Key: "label", Value: "S-12"},
		{Key: "uploaded_at", Value: bson.DateTime(1400000000000)},
		{Key: "spacing", Value: bson.A{250.0, 250.5, 1.0}},
		{Key: "dimensions", Value: bson.A{900, 700, 1}},
		{Key: "levels", Value: 3},
		{Key: "components", Value: 3},
		{Key: "TileSize", Value: 256},
		{Key: "CoordinateSystem", Value: "Pixel"},
		{Key: "bounds", Value: bson.A{0, 900, 324, 1024}},
		{Key: "copyright", Value: "Copyright 2014"},
		{Key: "metadataready", Value: true},
		{Key: "thumb", Value: bson.Binary{Data: []byte{1}}},
		{Key: "bookmarks", Value: bson.A{}},
		{Key: "hide", Value: true},
	}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "image", *got, Image{
		ID: hexOf(1), Filename: "S-12.ndpi", Label: "S-12", Copyright: "Copyright 2014", UploadedAt: time.Date(2014, 5, 13, 16, 53, 20, 0, time.UTC),
		SpacingX: 250, SpacingY: 250.5, CoordinateSystem: "Pixel", Hidden: true, Grid: Grid{TileSize: 256, Levels: 3, Bounds: image.Rect(0, 324, 900, 1024)},
	})
}

// TestDecodeGrid decodes the fields that determine where an image lies.
func TestDecodeGrid(t *testing.T) {
	dims := bson.A{900, 700, 1}
	for _, tt := range []struct {
		name        string
		doc         bson.D
		want        Grid
		unsupported string // a part of it
		warning     string
	}{
		{
			name: "C++ uploader", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "CoordinateSystem", Value: "Photo"}},
			want: Grid{256, 3, image.Rect(0, 0, 900, 700)},
		},
		{
			name: "Python uploader", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "CoordinateSystem", Value: "Pixel"}, {Key: "bounds", Value: bson.A{0, 900, 324, 1024}}},
			want: Grid{256, 3, image.Rect(0, 324, 900, 1024)},
		},
		{
			name: "six bounds", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 900, 324, 1024, 0, 0}}},
			want: Grid{256, 3, image.Rect(0, 324, 900, 1024)},
		},
		{
			name: "bounds of the last pixel", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 899, 0, 699, 0, 0}}},
			want: Grid{256, 3, image.Rect(0, 0, 900, 700)},
		},
		{
			name: "empty bounds", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 0, 0, 0, 0, 0}}},
			want: Grid{256, 3, image.Rect(0, 0, 900, 700)},
		},
		{
			name: "two dimensions, 512 pixels, doubles", doc: bson.D{{Key: "dimensions", Value: bson.A{900.0, 700.0}}, {Key: "levels", Value: 2.0}, {Key: "TileSize", Value: int64(512)}},
			want: Grid{512, 2, image.Rect(0, 0, 900, 700)},
		},
		{
			name: "other name", doc: bson.D{{Key: "dimensions", Value: bson.A{0, 0, 0}}, {Key: "dimension", Value: dims}, {Key: "levels", Value: 3}},
			want: Grid{256, 3, image.Rect(0, 0, 900, 700)},
		},
		{
			name: "no levels", doc: bson.D{{Key: "dimensions", Value: bson.A{1025, 700}}},
			want: Grid{256, 4, image.Rect(0, 0, 1025, 700)}, warning: "levels: is absent",
		},
		{
			name: "no levels of one tile", doc: bson.D{{Key: "dimensions", Value: bson.A{256, 1}}},
			want: Grid{256, 1, image.Rect(0, 0, 256, 1)}, warning: "levels: is absent",
		},
		{
			name: "bounds differ", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 800, 324, 1024}}},
			want: Grid{256, 3, image.Rect(0, 324, 800, 1024)}, warning: "dimensions: 900×700 differ",
		},
		{
			name: "bounds only", doc: bson.D{{Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 900, 324, 1024}}},
			want: Grid{256, 3, image.Rect(0, 324, 900, 1024)},
		},
		{
			name: "list for a number", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: bson.A{3}}},
			unsupported: "number of levels", warning: "levels: is not a number",
		},
		{name: "no dimensions", doc: bson.D{{Key: "levels", Value: 3}}, unsupported: "no dimensions"},
		{name: "dimensions too large", doc: bson.D{{Key: "dimensions", Value: bson.A{1025, 700}}, {Key: "levels", Value: 3}}, unsupported: "do not fit"},
		{name: "dimensions of 0", doc: bson.D{{Key: "dimensions", Value: bson.A{0, 700}}, {Key: "levels", Value: 3}}, unsupported: "no dimensions", warning: "dimensions: 0 and 700"},
		{name: "dimensions with fractions", doc: bson.D{{Key: "dimensions", Value: bson.A{0.5, 700}}, {Key: "levels", Value: 3}}, unsupported: "no dimensions", warning: "dimensions: 0.5"},
		{name: "text for dimensions", doc: bson.D{{Key: "dimensions", Value: "900x700"}, {Key: "levels", Value: 3}}, unsupported: "no dimensions", warning: "dimensions: is a string"},
		{name: "bounds outside", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 900, 325, 1025}}}, unsupported: "do not fit"},
		{name: "bounds in nanometres", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 225000, 0, 175000}}}, unsupported: "do not fit", warning: "differ"},
		{name: "bounds backwards", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{900, 0, 0, 700}}}, unsupported: "bounds"},
		{name: "negative bounds", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{-1, 899, 0, 700}}}, unsupported: "bounds"},
		{name: "two bounds", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 900}}}, unsupported: "bounds"},
		{name: "no tile size", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}, {Key: "TileSize", Value: 0}}, unsupported: "tile size", warning: "TileSize: is 0"},
		{name: "absurd levels", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 1 << 40}}, unsupported: "number of levels", warning: "levels: is"},
		{name: "too many levels", doc: bson.D{{Key: "dimensions", Value: dims}, {Key: "levels", Value: 24}, {Key: "TileSize", Value: 4096}}, unsupported: "too many"},
		{name: "stack", doc: bson.D{{Key: "type", Value: "stack"}, {Key: "dimensions", Value: dims}, {Key: "levels", Value: 3}}, want: Grid{256, 3, image.Rect(0, 0, 900, 700)}, unsupported: "stack"},
		{name: "Girder", doc: bson.D{{Key: "girder", Value: bson.D{{Key: "server", Value: "x"}}}}, unsupported: "Girder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			im, err := DecodeImage(encode(t, append(bson.D{{Key: "_id", Value: oid(1)}}, tt.doc...)))
			if err != nil {
				t.Fatal(err)
			}
			if tt.unsupported == "" || tt.want.Levels > 0 {
				check(t, "grid", im.Grid, tt.want)
			}
			if !strings.Contains(im.Unsupported, tt.unsupported) || (tt.unsupported == "") != (im.Unsupported == "") {
				t.Errorf("unsupported: %q, want %q", im.Unsupported, tt.unsupported)
			}
			if warnings := strings.Join(im.Warnings, "\n"); !strings.Contains(warnings, tt.warning) || (tt.warning == "") != (warnings == "") {
				t.Errorf("warnings: %q, want %q", warnings, tt.warning)
			}
		})
	}
}

func TestSpacing(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		x, y float64
		warn bool
	}{
		{"nanometres", bson.A{250.0, 251.0, 1.0}, 250, 251, false},
		{"one number", bson.A{250}, 250, 250, false},
		{"unknown", bson.A{1.0, 1.0, 1.0}, 0, 0, false},
		{"absent", nil, 0, 0, false},
		{"negative", bson.A{-250.0, 250.0}, 0, 0, true},
		{"text", bson.A{"a"}, 0, 0, true},
		{"spelled", bson.A{" 250.5"}, 250.5, 250.5, false},
	} {
		im, err := DecodeImage(encode(t, bson.D{{Key: "_id", Value: oid(1)}, {Key: "spacing", Value: tt.in}}))
		if err != nil || im.SpacingX != tt.x || im.SpacingY != tt.y || (im.Warnings != nil) != tt.warn {
			t.Errorf("%s: %v, %v, %q, %v", tt.name, im.SpacingX, im.SpacingY, im.Warnings, err)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		ok   bool
	}{
		{"ObjectId", oid(1), true},
		{"spelled", strings.ToUpper(oid(1).Hex()), true},
		{"number", 1, false},
		{"name", "image 1", false},
		{"null", nil, false},
	} {
		im, err := DecodeImage(encode(t, bson.D{{Key: "_id", Value: tt.in}}))
		if (err == nil) != tt.ok || tt.ok && im.ID != hexOf(1) {
			t.Errorf("%s: %v, %v", tt.name, im, err)
		}
	}
	if _, err := DecodeImage(bson.Raw("no document")); err == nil {
		t.Error("bytes that are no document were decoded")
	}
}

func TestTileRange(t *testing.T) {
	for _, tt := range []struct {
		name string
		doc  bson.D
		file string
		ok   bool
	}{
		{"tile", bson.D{{Key: "_id", Value: oid(1)}, {Key: "name", Value: "tq.jpg"}, {Key: "level", Value: 7}, {Key: "file", Value: bson.Binary{Data: []byte("abc")}}}, "abc", true},
		{"old binary", bson.D{{Key: "name", Value: "tq.jpg"}, {Key: "file", Value: bson.Binary{Subtype: bson.TypeBinaryBinaryOld, Data: []byte("abc")}}}, "abc", true},
		{"empty", bson.D{{Key: "name", Value: "tq.jpg"}, {Key: "file", Value: bson.Binary{}}}, "", true},
		{"no file", bson.D{{Key: "name", Value: "tq.jpg"}}, "", false},
		{"text", bson.D{{Key: "name", Value: "tq.jpg"}, {Key: "file", Value: "abc"}}, "", false},
		{"name is a number", bson.D{{Key: "name", Value: 1}, {Key: "file", Value: bson.Binary{Data: []byte("abc")}}}, "", false},
	} {
		doc := encode(t, tt.doc)
		name, from, to, err := TileRange(doc)
		file := doc[from:to]
		if (err == nil) != tt.ok || string(file) != tt.file || tt.ok && name != "tq.jpg" {
			t.Errorf("%s: %q, %q, %v", tt.name, name, file, err)
		}
	}
}

func TestCheckJPEG(t *testing.T) {
	for in, ok := range map[string]bool{
		"\xff\xd8\xff\xe0 \xff\xd9": true, "\xff\xd8\xff\xe0 \xff": false, "": false, "\xff\xd8": false, "\x89PNG": false, "\xff\xd8\xff\xd9": true, "\xff\xd8\xff\xe0 \xff\xd9\x00": false,
	} {
		if err := CheckJPEG([]byte(in)); (err == nil) != ok {
			t.Errorf("CheckJPEG(%q) = %v", in, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(encode(f, bson.D{{Key: "_id", Value: oid(1)}, {Key: "dimensions", Value: bson.A{900, 700}}, {Key: "levels", Value: 3}, {Key: "bounds", Value: bson.A{0, 900, 324, 1024}}, {Key: "spacing", Value: bson.A{250.0}}})))
	f.Add([]byte(encode(f, bson.D{{Key: "_id", Value: oid(1).Hex()}, {Key: "host", Value: bson.A{"a", "b:1"}}, {Key: "last_sync", Value: bson.DateTime(1)}, {Key: "ViewerRecords", Value: bson.A{bson.D{{Key: "Image", Value: bson.D{{Key: "_id", Value: oid(2)}}}}}}})))
	f.Add([]byte(encode(f, bson.D{{Key: "_id", Value: oid(1)}, {Key: "views", Value: bson.A{bson.D{{Key: "ref", Value: oid(2)}}}}, {Key: "permissions", Value: bson.A{bson.D{{Key: "operation", Value: "view"}}}}, {Key: "name", Value: "t.jpg"}, {Key: "file", Value: bson.Binary{Subtype: 2, Data: []byte("a")}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if im, err := DecodeImage(b); err == nil && im.Unsupported == "" {
			g := im.Grid
			if g.Bounds.Empty() || !g.Bounds.In(image.Rect(0, 0, g.Side(), g.Side())) {
				t.Errorf("bounds %v in a square of %d", g.Bounds, g.Side())
			}
			for z := range g.Levels {
				tiles := g.Tiles(z)
				if tiles.Empty() || !tiles.In(image.Rect(0, 0, 1<<z, 1<<z)) {
					t.Errorf("%+v has tiles %v at zoom level %d", g, tiles, z)
				}
				first := Tile{z, tiles.Min.X, tiles.Min.Y}
				if g.Visible(first).Empty() {
					t.Errorf("%+v: tile %v shows nothing", g, first)
				}
			}
		}
		if _, from, to, err := TileRange(b); err == nil {
			_ = b[from:to]
		}
		_, _ = DecodeStore(b)
		_, _ = DecodeCollection(b)
		_, _ = DecodeSession(b)
		_, _ = DecodeView(b)
		_, _ = DecodeUser(b)
		_, _ = DecodeGroup(b)
		_, _ = DecodePermalink(b)
	})
}
