package mongodump

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// encode returns the BSON of a document.
func encode(t testing.TB, doc bson.D) []byte {
	t.Helper()
	b, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encodeAll returns the content of a file of a collection.
func encodeAll(t testing.TB, docs ...bson.D) []byte {
	t.Helper()
	var all []byte
	for _, doc := range docs {
		all = append(all, encode(t, doc)...)
	}
	return all
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// dump returns an open folder with the files.
func dump(t testing.TB, files map[string][]byte) *Folder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir, filepath.Join(t.TempDir(), "indexes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// numbers returns the field n of the documents of a collection.
func numbers(f *Folder, collection string) (list []int32, err error) {
	err = f.Documents(context.Background(), collection, func(doc bson.Raw) error {
		n, _ := doc.Lookup("n").Int32OK()
		list = append(list, n)
		return nil
	})
	return list, err
}

// some is the file of a collection of three documents of different sizes.
func some(t testing.TB) []byte {
	return encodeAll(t, bson.D{{Key: "n", Value: int32(1)}}, bson.D{{Key: "n", Value: int32(2)}, {Key: "text", Value: strings.Repeat("a", 100)}}, bson.D{{Key: "n", Value: int32(3)}})
}

func TestDocuments(t *testing.T) {
	f := dump(t, map[string][]byte{
		"plain.bson": some(t), "zipped.bson.gz": zip(t, some(t)), "plain.metadata.json": []byte("{}"),
		"both.bson": some(t), "both.bson.gz": []byte("not used"), "empty.bson": nil, "zipped empty.bson.gz": zip(t, nil),
	})
	for collection, want := range map[string][]int32{"plain": {1, 2, 3}, "zipped": {1, 2, 3}, "both": {1, 2, 3}, "empty": nil, "zipped empty": nil} {
		got, err := numbers(f, collection)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", collection, err, d)
		}
	}
	got, err := f.Collections()
	if d := cmp.Diff([]string{"both", "empty", "plain", "zipped", "zipped empty"}, got); d != "" || err != nil {
		t.Errorf("collections: %v\n%s", err, d)
	}
	for _, name := range []string{"", "absent", "../secret", "a/b", "a\x00b"} {
		if _, err := numbers(f, name); !errors.Is(err, ErrNoCollection) {
			t.Errorf("collection %q: %v", name, err)
		}
	}
	stop := errors.New("stop")
	if err := f.Documents(t.Context(), "plain", func(bson.Raw) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the caller: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Documents(ctx, "plain", func(bson.Raw) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCutShort cuts a file after each byte. The documents before the damage are read.
func TestCutShort(t *testing.T) {
	all := some(t)
	var ends []int // of documents
	for at := 0; at < len(all); {
		at += int(binary.LittleEndian.Uint32(all[at:]))
		ends = append(ends, at)
	}
	zipped := zip(t, all)
	for n := range len(all) {
		whole, at := 0, 0
		for _, end := range ends {
			if end <= n {
				whole, at = whole+1, end
			}
		}
		f := dump(t, map[string][]byte{"a.bson": all[:n]})
		got, err := numbers(f, "a")
		damage, ok := errors.AsType[*DamageError](err)
		if n == at {
			if err != nil || len(got) != whole {
				t.Errorf("%d bytes: %v, %v", n, got, err)
			}
		} else if !ok || len(got) != whole || damage.Offset != int64(at) {
			t.Errorf("%d bytes: %v, %v, want damage at %d", n, got, err, at)
		}
	}
	for n := range len(zipped) {
		f := dump(t, map[string][]byte{"a.bson.gz": zipped[:n]})
		if got, err := numbers(f, "a"); !isDamage(err) || len(got) > 3 {
			t.Errorf("%d bytes of %d: %v, %v", n, len(zipped), got, err)
		}
	}
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*DamageError](err)
	return ok
}

func TestDamage(t *testing.T) {
	first := encode(t, bson.D{{Key: "n", Value: int32(1)}})
	with := func(length uint32, more int) []byte {
		b := bytes.Clone(first)
		b = binary.LittleEndian.AppendUint32(b, length)
		return append(b, make([]byte, more)...)
	}
	unended := bytes.Clone(first)
	unended[len(unended)-1] = 1
	corrupt := zip(t, some(t))
	corrupt[len(corrupt)/2] ^= 0xFF
	for name, tt := range map[string]struct {
		file    string
		content []byte
		docs    int
	}{
		"4 GB":         {"a.bson", with(1<<32-1, 100), 1},
		"2 GB":         {"a.bson", with(1<<31-1, 100), 1},
		"16 MB":        {"a.bson", with(16<<20, 100), 1},
		"0":            {"a.bson", with(0, 100), 1},
		"4":            {"a.bson", with(4, 100), 1},
		"no end":       {"a.bson", append(bytes.Clone(first), unended...), 1},
		"zeros":        {"a.bson", make([]byte, 4096), 0},
		"zipped zeros": {"a.bson.gz", zip(t, make([]byte, 4096)), 0},
		"zipped 16 MB": {"a.bson.gz", zip(t, with(16<<20, 100)), 1},
		"not zipped":   {"a.bson.gz", some(t), 0},
		"empty":        {"a.bson.gz", nil, 0},
		"corrupt":      {"a.bson.gz", corrupt, -1},
	} {
		got, err := numbers(dump(t, map[string][]byte{tt.file: tt.content}), "a")
		if !isDamage(err) || tt.docs >= 0 && len(got) != tt.docs {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// An absurd length does not allocate memory.
func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		length uint32
		size   int64 // of the file
	}{{16 << 20, 7}, {maxDocument + 1, -1}} {
		b := binary.LittleEndian.AppendUint32(nil, tt.length)
		b = append(b, 1, 2, 3)
		d := newDocuments(bytes.NewReader(b), tt.size)
		if _, _, err := d.next(); !isDamage(err) {
			t.Error(err)
		}
		if cap(d.buf) != 0 {
			t.Errorf("a buffer of %d bytes for a document of %d bytes", cap(d.buf), tt.length)
		}
	}
}

func TestCheck(t *testing.T) {
	f := dump(t, map[string][]byte{"tiles1/images.bson": nil, "tiles2/images.bson.gz": nil, "other/users.bson": nil})
	if err := f.Check("images"); !errors.Is(err, ErrNoCollection) || !strings.HasSuffix(err.Error(), "use one of the folders in it: tiles1, tiles2") {
		t.Errorf("a folder of dumps: %v", err)
	}
	if err := f.Check("views"); !errors.Is(err, ErrNoCollection) || strings.Contains(err.Error(), "folders") {
		t.Errorf("a folder of other dumps: %v", err)
	}
	if err := dump(t, map[string][]byte{"images.bson": nil}).Check("images"); err != nil {
		t.Errorf("a dump: %v", err)
	}
}

func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dump")
	if _, err := Open(dir, t.TempDir()); !errors.Is(err, ErrNoFolder) || strings.Contains(err.Error(), dir) {
		t.Errorf("no folder: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := numbers(f, "images"); !errors.Is(err, ErrNoFolder) {
		t.Errorf("a folder that was removed: %v", err)
	}
}

// Other kinds of file, and links out of the folder, are not opened.
func TestOtherFiles(t *testing.T) {
	f := dump(t, map[string][]byte{"folder.bson/x": nil})
	outside := filepath.Join(t.TempDir(), "outside.bson")
	if err := os.WriteFile(outside, some(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(f.root.Name(), "link.bson")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(f.root.Name(), "pipe.bson"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"folder", "link", "pipe"} {
		if list, err := numbers(f, name); err == nil || list != nil || strings.Contains(err.Error(), outside) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add(some(f), false)
	f.Add(zip(f, some(f)), true)
	f.Add([]byte{5, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, zipped bool) {
		name := "5356d8b9e67655244bf3273a.bson"
		if zipped {
			name += ".gz"
		}
		folder := dump(t, map[string][]byte{name: b})
		total := 0
		err := folder.Documents(t.Context(), "5356d8b9e67655244bf3273a", func(doc bson.Raw) error {
			total += len(doc)
			return nil
		})
		if err != nil && !isDamage(err) {
			t.Error(err)
		}
		if !zipped && total > len(b) {
			t.Errorf("%d bytes of %d", total, len(b))
		}
		tiles, err := folder.Tiles(t.Context(), "5356d8b9e67655244bf3273a")
		if err != nil {
			t.Fatal(err)
		}
		defer tiles.Close()
		if uint64(total) < tiles.Bytes {
			t.Errorf("%d bytes of tiles in %d bytes", tiles.Bytes, total)
		}
		if _, err := tiles.Append(nil, tileOf(0)); errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}
