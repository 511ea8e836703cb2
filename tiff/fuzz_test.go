package tiff

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzOpen opens and reads its input. It must not panic, read outside of the file or cost
// more than the size of the file allows; directories must not overlap, and after writing
// the contents again they must read the same.
func FuzzOpen(f *testing.F) {
	for _, fm := range formats {
		f.Add(pyramid(fm, 3, 5).file)
		for _, d := range damages {
			b := newBuilder(fm)
			if d.make(b); len(b.file) < 16<<10 && (d.only == nil || *d.only == fm.layout) {
				f.Add(b.file)
			}
		}
		b := newBuilder(fm)
		inner, _ := b.loose(b.ints(TagXResolution, Rational, 1, 3))
		one, last := b.loose(b.ints(TagSubIFDs, b.offset(), inner))
		two, _ := b.loose(text(TagSoftware, "example"))
		b.point(last, two)
		b.directory(b.ints(TagSubIFDs, b.offset(), one, two))
		f.Add(b.file)
	}
	addData(f)

	f.Fuzz(func(t *testing.T, data []byte) {
		r := strict{t, data}
		var file *File
		var err error
		got := allocated(func() { file, err = Open(r, int64(len(data))) })
		if limit := uint64(1<<20 + 16*len(data)); got > limit {
			t.Errorf("Open of %d bytes allocated %d, want at most %d", len(data), got, limit)
		}
		checkError(t, err)
		if err != nil {
			return
		}
		checkApart(t, file.Directories())
		readAll(t, file, 1<<20)
		checkRoundTrip(t, file)
	})
}

// addData adds the small test files, if they exist.
func addData(f *testing.F) {
	dir, err := dataFolder()
	if err != nil {
		f.Logf("without seeds from the test data: %v", err)
		return
	}
	eachFile(f, dir, func(path string) {
		if info, err := os.Stat(path); err != nil || info.Size() > 16<<10 {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	})
}

// A strict reader is a file that fails the test if it is read beyond its bounds.
type strict struct {
	t    *testing.T
	data []byte
}

func (s strict) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(s.data)) {
		s.t.Errorf("%d bytes read at %d of %d", len(p), off, len(s.data))
		return 0, io.EOF
	}
	return copy(p, s.data[off:]), nil
}

// checkApart checks that directories lie within the file without overlaps, and that tags
// are in order and unique.
func checkApart(t *testing.T, dirs []*Directory) {
	t.Helper()
	taken := make(map[int64]bool)
	for i, d := range dirs {
		for at := d.Offset; at < d.end; at++ {
			if taken[at] {
				t.Fatalf("directory %d at %d overlaps with another at %d", i, d.Offset, at)
			}
			taken[at] = true
		}
		for j, e := range d.Entries()[1:] {
			if before := d.Entries()[j]; before.Tag >= e.Tag {
				t.Fatalf("tag %v after %v", e.Tag, before.Tag)
			}
		}
	}
}

// checkRoundTrip writes the directories of f again and compares the results of reading
// both.
func checkRoundTrip(t *testing.T, f *File) {
	t.Helper()
	want := raw(f)
	b := newBuilder(format{"", f.ByteOrder(), f.layout})
	for _, fields := range want {
		b.directory(fields...)
	}
	got := raw(b.open(t))
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(field{})); diff != "" {
		t.Errorf("written again, it reads different (-want +got)\n%s", diff)
	}
}

// raw returns the fields of f with their stored values, up to the first megabyte. A field
// that cannot be read has no value.
func raw(f *File) [][]field {
	var dirs [][]field
	n := 0
	for _, d := range f.Directories() {
		var fields []field
		for _, e := range d.Entries() {
			v := field{tag: e.Tag}
			if b, err := d.values(e, e.Count, 1<<20); err == nil && n+len(b) < 1<<20 {
				v = field{e.Tag, e.Type, int(e.Count), bytes.Clone(b)}
				n += len(b)
			}
			fields = append(fields, v)
		}
		dirs = append(dirs, fields)
	}
	return dirs
}
