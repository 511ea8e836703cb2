package tiff

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

const (
	maxTime   = time.Second // for opening or rejecting any file
	maxMemory = 64 << 20
)

// A sparse reader is a huge file of zeros with some bytes at its start.
type sparse struct {
	head []byte
	size int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	if off < int64(len(s.head)) {
		copy(p[:n], s.head[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestSparse reads fields of a sparse file of a terabyte, whose size limits nothing.
func TestSparse(t *testing.T) {
	const size = 1 << 40
	tests := []struct {
		name  string
		typ   Type
		count int
		read  func(d *Directory, tag Tag) (int, error)
		ok    bool
	}{
		{"as many bytes as are read", ASCII, MaxBytes, readBytes, true},
		{"one more", ASCII, MaxBytes + 1, readBytes, false},
		{"nearly all of the file", Undefined, size - 1000, readBytes, false},
		{"tiles of the largest slide", Long8, 4 << 20, readArray, true},
		{"more tiles than are read", Long8, maxArray/8 + 1, readArray, false},
		{"nearly all of the file as tiles", Long8, size/8 - 100, readArray, false},
		{"the first of many", Long8, size/8 - 100, readUint, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBuilder(formats[2])
			at := b.directory(field{TagTileOffsets, tt.typ, tt.count, nil})
			b.point(b.value(at, 0), 256)
			f, err := Open(sparse{b.file, size}, size)
			if err != nil {
				t.Fatal(err)
			}
			var n int
			got := allocated(func() { n, err = tt.read(f.Directories()[0], TagTileOffsets) })
			if !tt.ok {
				if _, ok := errors.AsType[*UnsupportedError](err); !ok || got > 1<<20 {
					t.Errorf("error %v after allocating %d bytes, want an UnsupportedError and none", err, got)
				}
			} else if want := uint64(n*tt.typ.Size() + 64<<10); err != nil || got > want {
				t.Errorf("error %v after allocating %d bytes, want at most %d", err, got, want)
			}
		})
	}
}

func readBytes(d *Directory, tag Tag) (int, error) {
	p, err := d.Bytes(tag)
	return len(p), err
}

func readArray(d *Directory, tag Tag) (int, error) {
	a, err := d.Array(tag)
	return a.Len(), err
}

func readUint(d *Directory, tag Tag) (int, error) {
	_, err := d.Uint(tag, 0)
	return 1, err
}

// TestCostOfOpen opens files made to be expensive.
func TestCostOfOpen(t *testing.T) {
	full := func(b *builder) {
		for range maxAllFields / maxFields {
			b.directory(make([]field, maxFields)...)
		}
	}
	many := func(b *builder) {
		for range maxDirectories {
			b.directory(make([]field, maxAllFields/maxDirectories)...)
		}
	}
	backwards := func(b *builder) { // each before the previous one
		ends := make([]int, maxDirectories)
		begins := make([]int, maxDirectories)
		for i := range begins {
			begins[i], ends[i] = b.loose(b.ints(TagImageWidth, Short, 1))
		}
		for i := range begins[1:] {
			b.point(ends[i+1], begins[i])
		}
		b.point(b.last, begins[maxDirectories-1])
	}
	tests := []struct {
		name string
		make func(b *builder)
	}{
		{"full directories", full},
		{"many directories", many},
		{"many directories backwards", backwards},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFormat(t, func(t *testing.T, fm format) {
				b := newBuilder(fm)
				tt.make(b)
				start := time.Now()
				got := allocated(func() {
					if _, err := Open(bytes.NewReader(b.file), int64(len(b.file))); err != nil {
						t.Error(err)
					}
				})
				if took := time.Since(start); got > maxMemory || took > maxTime {
					t.Errorf("Open of %d bytes allocated %d bytes in %v, want at most %d in %v", len(b.file), got, took, maxMemory, maxTime)
				}
				t.Logf("%d bytes: allocated %d", len(b.file), got)
			})
		})
	}
}
