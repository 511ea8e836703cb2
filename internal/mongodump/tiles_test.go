package mongodump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

const image = slideatlas.ID("5356d8b9e67655244bf3273a")

// jpeg returns bytes that begin and end like a JPEG.
func jpeg(text string) []byte { return []byte("\xff\xd8\xff\xe0" + text + "\xff\xd9") }

// tile returns the document of a tile.
func tile(name string, b []byte) bson.D {
	return bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: name}, {Key: "level", Value: int32(7)}, {Key: "file", Value: bson.Binary{Data: b}}}
}

// pyramid returns the documents of all tiles of some levels in random order, and the bytes
// of each tile.
func pyramid(levels int) (docs []bson.D, want map[slideatlas.Tile][]byte) {
	want = map[slideatlas.Tile][]byte{}
	for z := range levels {
		for y := range 1 << z {
			for x := range 1 << z {
				t := slideatlas.Tile{Zoom: z, Column: x, Row: y}
				want[t] = jpeg(fmt.Sprint(t))
				docs = append(docs, tile(t.Name(), want[t]))
			}
		}
	}
	rand.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	return docs, want
}

// open opens the tiles of the image.
func open(t testing.TB, f *Folder) *Tiles {
	t.Helper()
	tiles, err := f.Tiles(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tiles.Close() })
	return tiles
}

func TestTiles(t *testing.T) {
	docs, want := pyramid(6)
	content := encodeAll(t, docs...)
	for suffix, b := range map[string][]byte{".bson": content, ".bson.gz": zip(t, content)} {
		t.Run(suffix, func(t *testing.T) {
			f := dump(t, map[string][]byte{string(image) + suffix: b})
			before := listing(t, f.root.Name())
			tiles := open(t, f)
			var size uint64
			for address, b := range want {
				size += uint64(len(b))
				got, err := tiles.Append([]byte("before"), address)
				if err != nil || string(got) != "before"+string(b) {
					t.Fatalf("%v: %q, %v", address, got, err)
				}
			}
			if d := cmp.Diff(Contents{Tiles: uint32(len(want)), Bytes: size, DamagedAt: -1}, tiles.Contents); d != "" {
				t.Error(d)
			}
			for _, absent := range []slideatlas.Tile{{Zoom: 6}, {Zoom: -1}, {Zoom: 1, Column: 2}, {Zoom: 1, Row: -1}, {Zoom: 40}} {
				if got, err := tiles.Append(nil, absent); !errors.Is(err, slideatlas.ErrNoTile) || got != nil {
					t.Errorf("%v: %q, %v", absent, got, err)
				}
			}
			var order []slideatlas.Tile
			if err := tiles.Each(t.Context(), func(tile slideatlas.Tile, b []byte, err error) error {
				if err != nil || !bytes.Equal(b, want[tile]) {
					t.Errorf("%v: %q, %v", tile, b, err)
				}
				order = append(order, tile)
				return nil
			}); err != nil || len(order) != len(want) || order[0] != (slideatlas.Tile{}) || order[1] != (slideatlas.Tile{Zoom: 1}) || order[2] != (slideatlas.Tile{Zoom: 1, Column: 1}) {
				t.Errorf("Each: %v of %d tiles, %v", order[:3], len(order), err)
			}
			if d := cmp.Diff(before, listing(t, f.root.Name())); d != "" {
				t.Errorf("the dump was changed:\n%s", d)
			}
		})
	}
}

// listing returns the names and times of the files of a folder.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		list[e.Name()] = fmt.Sprint(fi.Size(), fi.ModTime())
	}
	return list
}

// Documents that are not usable tiles are counted, and stop none of the others.
func TestContents(t *testing.T) {
	good := jpeg("good")
	content := encodeAll(
		t,
		tile("tq.jpg", good), tile("tq.jpg", jpeg("later")), tile("1.png", good), tile("tr.jpg", nil), tile("ts.jpg", good[:len(good)-1]),
		bson.D{{Key: "name", Value: "tt.jpg"}}, bson.D{{Key: "name", Value: 5}, {Key: "file", Value: bson.Binary{Data: good}}}, bson.D{}, tile("tqq.jpg", good),
	)
	broken := encode(t, tile("tqr.jpg", good))
	broken[4] = 0xEE // no type of BSON
	content = append(content, broken...)
	end := len(content)
	content = append(content, encode(t, tile("t.jpg", good))[:20]...)
	tiles := open(t, dump(t, map[string][]byte{string(image) + ".bson": content}))
	if d := cmp.Diff(Contents{Tiles: 4, Repeated: 1, Others: 5, Incomplete: 2, Bytes: 40, DamagedAt: int64(end)}, tiles.Contents); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]error{"tq.jpg": nil, "tqq.jpg": nil, "tr.jpg": slideatlas.ErrNotJPEG, "ts.jpg": slideatlas.ErrNotJPEG, "tt.jpg": slideatlas.ErrNoTile, "tqr.jpg": slideatlas.ErrNoTile, "t.jpg": slideatlas.ErrNoTile} {
		address, _ := slideatlas.ParseName(name)
		got, err := tiles.Append(nil, address)
		if !errors.Is(err, want) || (want == nil) != (string(got) == string(good)) {
			t.Errorf("%s: %q, %v, want %v", name, got, err, want)
		}
	}
	n := 0
	if err := tiles.Each(t.Context(), func(_ slideatlas.Tile, b []byte, err error) error {
		if (err == nil) != (b != nil) {
			t.Errorf("%q, %v", b, err)
		}
		n++
		return nil
	}); err != nil || n != 4 {
		t.Errorf("Each: %d, %v", n, err)
	}
}

// The file is read once. A changed file or index is read again.
func TestIndex(t *testing.T) {
	docs, _ := pyramid(3)
	for _, suffix := range []string{".bson", ".bson.gz"} {
		t.Run(suffix, func(t *testing.T) {
			content := encodeAll(t, docs...)
			if suffix != ".bson" {
				content = zip(t, content)
			}
			f := dump(t, map[string][]byte{string(image) + suffix: content})
			old := open(t, f)
			first := listing(t, f.indexes)
			if again := open(t, f); again.Contents != old.Contents {
				t.Errorf("the second time: %+v, want %+v", again.Contents, old.Contents)
			}
			if d := cmp.Diff(first, listing(t, f.indexes)); d != "" {
				t.Errorf("the index was written again:\n%s", d)
			}
			for name := range first {
				path := filepath.Join(f.indexes, name)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				for _, damaged := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), 0)} {
					if err := os.WriteFile(path, damaged, 0o600); err != nil {
						t.Fatal(err)
					}
					if again := open(t, f); again.Contents != old.Contents {
						t.Errorf("after damage of %s: %+v, want %+v", name, again.Contents, old.Contents)
					}
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				open(t, f)
			}
			changed := encodeAll(t, tile("t.jpg", jpeg("changed")))
			if suffix != ".bson" {
				changed = zip(t, changed)
			}
			path := filepath.Join(f.root.Name(), string(image)+suffix)
			if err := os.WriteFile(path, changed, 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := old.Append(nil, slideatlas.Tile{}); !errors.Is(err, ErrChanged) || len(got) != 0 {
				t.Errorf("a tile of a changed file: %q, %v", got, err)
			}
			if got, err := open(t, f).Append(nil, slideatlas.Tile{}); err != nil || string(got) != string(jpeg("changed")) {
				t.Errorf("after the change: %q, %v", got, err)
			}
		})
	}
}

// Each bit of an index is covered by its checksum.
func TestIndexChecksum(t *testing.T) {
	docs, _ := pyramid(2)
	f := dump(t, map[string][]byte{string(image) + ".bson": encodeAll(t, docs...)})
	open(t, f)
	path := f.path(image, ".index")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if tiles, err := f.Indexed(image); !errors.Is(err, ErrNoIndex) {
			t.Errorf("with byte %d changed: %v, %v", i, tiles, err)
		}
		b[i] ^= 1 << (i % 8)
	}
}

func TestTilesConcurrently(t *testing.T) {
	docs, want := pyramid(5)
	f := dump(t, map[string][]byte{string(image) + ".bson.gz": zip(t, encodeAll(t, docs...))})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			tiles, err := f.Tiles(context.Background(), image)
			if err != nil {
				t.Error(err)
				return
			}
			defer tiles.Close()
			for address, b := range want {
				if got, err := tiles.Append(nil, address); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%v: %q, %v", address, got, err)
				}
			}
		})
	}
	wait.Wait()
}

func TestFullDisk(t *testing.T) {
	s := &survey{space: func() (int64, error) { return reserve, nil }}
	if _, err := s.store(jpeg("a")); !errors.Is(err, ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
}

func TestNoTiles(t *testing.T) {
	f := dump(t, map[string][]byte{"images.bson": nil, string(image) + ".bson": nil})
	if _, err := f.Tiles(t.Context(), "5356d8b9e67655244bf3273b"); !errors.Is(err, ErrNoCollection) {
		t.Errorf("an image without a collection: %v", err)
	}
	tiles := open(t, f)
	if tiles.Tiles != 0 {
		t.Errorf("an empty collection: %+v", tiles.Contents)
	}
	if _, err := tiles.Append(nil, slideatlas.Tile{}); !errors.Is(err, slideatlas.ErrNoTile) {
		t.Errorf("a tile of an empty collection: %v", err)
	}
}

func TestForget(t *testing.T) {
	other := slideatlas.ID("5356d8b9e67655244bf3273b")
	b := zip(t, encodeAll(t, tile("t.jpg", jpeg("a"))))
	f := dump(t, map[string][]byte{string(image) + ".bson.gz": b, string(other) + ".bson.gz": b})
	if err := f.Forget(func(slideatlas.ID) bool { return false }); err != nil { // there are no indexes yet
		t.Fatal(err)
	}
	for _, id := range []slideatlas.ID{image, other} {
		tiles, err := f.Tiles(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		tiles.Close()
	}
	if err := os.WriteFile(filepath.Join(f.indexes, "note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Forget(func(id slideatlas.ID) bool { return id == image }); err != nil {
		t.Fatal(err)
	}
	got := listing(t, f.indexes)
	if len(got) != 3 || got["note.txt"] == "" || got[string(image)+".index"] == "" || got[string(image)+".tiles"] == "" {
		t.Errorf("what remains: %v", got)
	}
}

// BenchmarkAppend measures random tiles of 20 KB from an index of 5,461 tiles.
func BenchmarkAppend(b *testing.B) {
	const levels = 7
	content := jpeg(string(make([]byte, 20<<10)))
	var docs []byte
	for z := range levels {
		for y := range 1 << z {
			for x := range 1 << z {
				docs = append(docs, encode(b, tile(slideatlas.Tile{Zoom: z, Column: x, Row: y}.Name(), content))...)
			}
		}
	}
	tiles := open(b, dump(b, map[string][]byte{string(image) + ".bson": docs}))
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = tiles.Append(buf[:0], slideatlas.Tile{Zoom: levels - 1, Column: rand.IntN(1 << (levels - 1)), Row: rand.IntN(1 << (levels - 1))}); err != nil {
			b.Fatal(err)
		}
	}
}
