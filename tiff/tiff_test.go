package tiff

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestOpen(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		b := pyramid(fm, 3, 16)
		f := b.open(t)
		if got, want := f.Big(), fm.layout == bigTIFF; got != want {
			t.Errorf("Big = %v, want %v", got, want)
		}
		if f.ByteOrder() != fm.order {
			t.Errorf("ByteOrder = %v, want %v", f.ByteOrder(), fm.order)
		}
		if f.Size() != int64(len(b.file)) {
			t.Errorf("Size = %d, want %d", f.Size(), len(b.file))
		}
		if got := len(f.Directories()); got != 4 {
			t.Fatalf("%d directories, want 4", got)
		}
		for i, want := range []uint64{4096, 2048, 1024, 387} {
			if got, err := f.Directories()[i].Uint(TagImageWidth, 0); got != want || err != nil {
				t.Errorf("width of directory %d = %d, %v, want %d", i, got, err, want)
			}
		}
	})
}

func TestOpenHeader(t *testing.T) {
	const (
		format = iota + 1
		unsupported
	)
	tests := []struct {
		name string
		file string
		kind int
		want string
	}{
		{"nothing", "", format, "at byte 0: not a TIFF: the file has only 0 bytes"},
		{"seven bytes", "II*\x00\x08\x00\x00", format, "at byte 0: not a TIFF: the file has only 7 bytes"},
		{"a JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00", format, "at byte 0: not a TIFF: it begins with ff d8 ff e0"},
		{"zeros", strings.Repeat("\x00", 64), format, "at byte 0: not a TIFF: it begins with 00 00 00 00"},
		{"orders mixed", "IM*\x00\x08\x00\x00\x00", format, "at byte 0: not a TIFF: it begins with 49 4d 2a 00"},
		{"version of the other order", "II\x00*\x08\x00\x00\x00", format, "at byte 0: not a TIFF: version 10752"},
		{"a raw photograph", "IIU\x00\x18\x00\x00\x00", format, "at byte 0: not a TIFF: version 85"},
		{"no directory", "II*\x00\x00\x00\x00\x00", format, "at byte 4: the file has no directory"},
		{"no directory, big", "MM\x00+\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", format, "at byte 8: the file has no directory"},
		{"big header cut", "II+\x00\x08\x00\x00\x00\x10\x00", format, "at byte 10: the file is incomplete: it ends inside its BigTIFF header"},
		{"offsets of 16 bytes", "II+\x00\x10\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", unsupported, "at byte 4: a BigTIFF with offsets of 16 bytes"},
		{"header alone", "II*\x00\x08\x00\x00\x00", format, "at byte 4: the file is incomplete or damaged: directory 0 should be at byte 8, but the file ends at byte 8"},
		{"pointer behind the end", "MM\x00*\xff\xff\xff\xff", format, "at byte 4: the file is incomplete or damaged: directory 0 should be at byte 4294967295, but the file ends at byte 8"},
		{"pointer above 2^63", "II+\x00\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", format, "at byte 8: the file is incomplete or damaged: directory 0 should be at byte 18446744073709551615"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(strings.NewReader(tt.file), int64(len(tt.file)))
			at, want, _ := strings.Cut(tt.want, ": ")
			if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "("+at+")") {
				t.Fatalf("Open: error %v, want %s (%s)", err, want, at)
			}
			kind := format
			if _, ok := errors.AsType[*UnsupportedError](err); ok {
				kind = unsupported
			} else if _, ok := errors.AsType[*FormatError](err); !ok {
				kind = 0
			}
			if kind != tt.kind {
				t.Errorf("Open: a %T, want the other error type", err)
			}
		})
	}
	if _, err := Open(strings.NewReader("II*\x00\x08\x00\x00\x00"), -1); err == nil {
		t.Error("Open of a negative size: no error")
	}
}

// A recorder records reads.
type recorder struct {
	r     io.ReaderAt
	reads []span
}

func (r *recorder) ReadAt(p []byte, off int64) (int, error) {
	r.reads = append(r.reads, span{off, off + int64(len(p))})
	return r.r.ReadAt(p, off)
}

// TestOpenIsLazy counts reads: the header, and each directory once. Values inside of
// entries are not read again, others on demand, and nothing else.
func TestOpenIsLazy(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		b := pyramid(fm, 9, 60_000)
		r := &recorder{r: bytes.NewReader(b.file)}
		f, err := Open(r, int64(len(b.file)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(r.reads), 1+len(f.Directories()); got != want {
			t.Errorf("Open did %d reads, want %d", got, want)
		}
		for _, s := range r.reads {
			if n := s.end - s.begin; n > readAhead {
				t.Errorf("Open read %d bytes at once", n)
			}
		}
		d := f.Directories()[0]

		r.reads = nil
		for _, tag := range []Tag{TagNewSubfileType, TagImageWidth, TagTileWidth, TagCompression} {
			if _, err := d.Uint(tag, 0); err != nil {
				t.Error(err)
			}
		}
		if len(r.reads) != 0 {
			t.Errorf("values in entries were read again: %v", r.reads)
		}

		if _, err := d.Array(TagTileOffsets); err != nil {
			t.Error(err)
		}
		e, _ := d.Entry(TagTileOffsets)
		if want := (span{e.Offset, e.Offset + 240_000}); len(r.reads) != 1 || r.reads[0] != want {
			t.Errorf("Array read %v, want %v", r.reads, want)
		}
	})
}

// TestLongDirectory opens directories longer than what is read ahead.
func TestLongDirectory(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		for _, n := range []int{1, 49, 50, 51, 83, 84, 85, 1000, maxFields} {
			b := newBuilder(fm)
			fields := make([]field, n)
			for i := range fields {
				fields[i] = b.ints(Tag(1000+i), Short, i)
			}
			b.directory(fields...)
			b.directory(b.ints(7, Short, 7))
			b.file = append(b.file, make([]byte, 100<<10)...)
			r := &recorder{r: bytes.NewReader(b.file)}
			f, err := Open(r, int64(len(b.file)))
			if err != nil {
				t.Fatal(err)
			}
			if last := r.reads[len(r.reads)-1]; last.end-last.begin != readAhead {
				t.Errorf("%d bytes read for a short directory after one of %d fields", last.end-last.begin, n)
			}
			for i := range n {
				if got, err := f.Directories()[0].Uint(Tag(1000+i), 0); got != uint64(i) || err != nil {
					t.Fatalf("field %d of %d = %d, %v", i, n, got, err)
				}
			}
			if got := len(f.Directories()); got != 2 {
				t.Errorf("%d directories after one of %d fields, want 2", got, n)
			}
		}
	})
}

// TestTruncated truncates a file at every length. It must be rejected, or reading a missing
// part must be an error.
func TestTruncated(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		b := pyramid(fm, 2, 40)
		b.file = append(b.file, "pixels"...)
		whole := readAll(t, b.open(t), 1<<30)
		for n := range len(b.file) - len("pixels") {
			f, err := Open(bytes.NewReader(b.file), int64(n))
			if err == nil {
				if got := readAll(t, f, 1<<30); got.fields >= whole.fields {
					t.Fatalf("a file cut to %d of %d bytes reads like the whole", n, len(b.file))
				}
				continue
			}
			if _, ok := errors.AsType[*FormatError](err); !ok {
				t.Fatalf("a file cut to %d bytes: %v, want a FormatError", n, err)
			}
		}
	})
}

// TestShrunk opens files that have become shorter since their size was determined, as if
// they were being overwritten.
func TestShrunk(t *testing.T) {
	b := pyramid(formats[0], 2, 40)
	for n := range len(b.file) {
		f, err := Open(bytes.NewReader(b.file[:n]), int64(len(b.file)))
		if err == nil {
			_, err = f.Directories()[0].Array(TagTileOffsets)
			if e, _ := f.Directories()[0].Entry(TagTileOffsets); err == nil && int64(n) < e.Offset+160 {
				t.Fatalf("a file cut to %d bytes gives offsets at %d", n, e.Offset)
			}
			continue
		}
		if _, ok := errors.AsType[*FormatError](err); !ok {
			t.Fatalf("a file cut to %d bytes after it was looked up: %v, want a FormatError", n, err)
		}
	}
}

// A failing reader has bytes up to good, and then returns an error.
type failing struct {
	r    io.ReaderAt
	good int64
}

var errDisk = errors.New("input/output error")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.good {
		return 0, errDisk
	}
	return f.r.ReadAt(p, off)
}

// TestReaderFails distinguishes a failing disk from a damaged file.
func TestReaderFails(t *testing.T) {
	b := pyramid(formats[1], 2, 400)
	for _, good := range []int64{0, 16, int64(len(b.file)) - 8} {
		_, err := Open(failing{bytes.NewReader(b.file), good}, int64(len(b.file)))
		if !errors.Is(err, errDisk) {
			t.Errorf("Open with %d good bytes: %v, want %v", good, err, errDisk)
		}
		if _, ok := errors.AsType[*FormatError](err); ok {
			t.Errorf("Open with %d good bytes blames the file: %v", good, err)
		}
	}
	f := b.open(t)
	f.r = failing{f.r, 0}
	if _, err := f.Directories()[0].Array(TagTileOffsets); !errors.Is(err, errDisk) {
		t.Errorf("Array: %v, want %v", err, errDisk)
	}
}

func TestReadAt(t *testing.T) {
	b := newBuilder(formats[0])
	b.directory(b.ints(TagImageWidth, Short, 1))
	b.file = append(b.file, "pixels"...)
	f := b.open(t)
	end := f.Size()
	tests := []struct {
		off int64
		n   int
		ok  bool
	}{
		{end - 6, 6, true},
		{end - 6, 0, true},
		{end, 0, true},
		{end - 6, 7, false},
		{end, 1, false},
		{end + 1, 0, false},
		{1 << 62, 1, false},
		{-1, 1, false},
		{-1 << 63, 1, false},
	}
	for _, tt := range tests {
		err := f.ReadAt(make([]byte, tt.n), tt.off, TagTileOffsets)
		if e, ok := errors.AsType[*FormatError](err); ok == tt.ok || ok && (e.Tag != TagTileOffsets || e.Offset != tt.off) {
			t.Errorf("ReadAt of %d bytes at %d of %d: error %v, want error %v", tt.n, tt.off, end, err, !tt.ok)
		}
	}
}

// TestConcurrent reads one file from many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	b := pyramid(formats[3], 4, 64)
	sub, _ := b.loose(b.ints(TagImageWidth, Short, 9))
	b.directory(b.ints(TagSubIFDs, IFD, sub))
	f := b.open(t)
	want := readAll(t, f, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if got := readAll(t, f, 1<<20); got != want {
					t.Errorf("read %+v, want %+v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// An all is the result of reading an entire file.
type all struct {
	directories, fields int
	bytes               uint64 // of all values
}

// readAll reads every value of f in every way, up to limit bytes, and checks properties of
// all files: the number of values is that of the entry, they lie within the file, and
// errors are of the two types.
func readAll(t testing.TB, f *File, limit uint64) all {
	t.Helper()
	var got all
	var walk func(dirs []*Directory)
	walk = func(dirs []*Directory) {
		for i, d := range dirs {
			if got.directories++; got.bytes > limit || got.directories > maxDirectories {
				return
			}
			if d.Index != i || d.Offset < f.layout.header() || d.Offset >= f.size || len(d.Entries()) == 0 {
				t.Errorf("directory %d at %d has index %d and %d fields", i, d.Offset, d.Index, len(d.Entries()))
			}
			for _, e := range d.Entries() {
				if n := readField(t, f, d, e); n >= 0 {
					got.fields++
					got.bytes += uint64(n)
				}
			}
			subs, err := d.SubDirectories()
			checkError(t, err)
			walk(subs)
		}
	}
	walk(f.Directories())
	return got
}

// readField reads one field in every way, and returns its number of bytes, or -1 if none is
// possible.
func readField(t testing.TB, f *File, d *Directory, e Entry) int {
	t.Helper()
	_, err := d.Uint(e.Tag, 0)
	checkError(t, err)
	_, err = d.Float(e.Tag, 0)
	checkError(t, err)
	read := -1
	if err == nil {
		read = e.Type.Size()
	}
	v, err := d.Uints(e.Tag, 1000)
	checkError(t, err)
	if err == nil && uint64(len(v)) != e.Count {
		t.Errorf("%d values of %+v", len(v), e)
	}
	a, err := d.Array(e.Tag)
	checkError(t, err)
	if err == nil {
		if uint64(a.Len()) != e.Count || a.Bytes() != a.Len()*e.Type.Size() || int64(a.Bytes()) > f.size {
			t.Errorf("an Array of %d values in %d bytes from %+v", a.Len(), a.Bytes(), e)
		}
		for i, want := range v {
			if got := a.At(i); got != want {
				t.Fatalf("At(%d) = %d and Uints()[%d] = %d of %+v", i, got, i, want, e)
			}
		}
		read = a.Bytes()
	}
	p, err := d.Bytes(e.Tag)
	checkError(t, err)
	if err == nil {
		if uint64(len(p)) != e.Count || int64(len(p)) > f.size {
			t.Errorf("%d bytes of %+v", len(p), e)
		}
		read = len(p)
	}
	return read
}

// checkError checks that err is of a type that a file in memory can cause.
func checkError(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	bad, isBad := errors.AsType[*FormatError](err)
	_, isUnsupported := errors.AsType[*UnsupportedError](err)
	if !isBad && !isUnsupported {
		t.Errorf("an error of another type: %v", err)
	}
	if isBad && bad.Offset < 0 {
		t.Errorf("an error at a negative offset: %v", err)
	}
}

// BenchmarkOpen opens a slide of ten levels and a label from memory.
func BenchmarkOpen(b *testing.B) {
	for _, fm := range formats[1:3] {
		b.Run(strings.ReplaceAll(fm.name, " ", "-"), func(b *testing.B) {
			file := pyramid(fm, 10, 1000).file
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(bytes.NewReader(file), int64(len(file))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
