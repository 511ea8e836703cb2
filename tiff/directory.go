package tiff

import (
	"fmt"
	"slices"
)

// A Directory is one image file directory (IFD).
type Directory struct {
	Index   int   // place in the chain; for a sub-directory, in its parent's list
	Offset  int64 // where it begins in the file
	file    *File
	entries []Entry // by tag
}

// An Entry describes one field: Count values of Type whose bytes begin at Offset
// of the file, which is inside of the entry itself when they fit.
type Entry struct {
	Tag    Tag
	Type   Type
	Count  uint64
	Offset int64
	at     int64 // where the entry itself is
}

// chain reads the directories that begin at off, which stands at byte from.
func (f *File) chain(off uint64, from int64, seen *spans) ([]*Directory, error) {
	var dirs []*Directory
	for off != 0 {
		if len(dirs) == maxDirectories {
			return nil, &FormatError{Offset: from, Msg: fmt.Sprintf("more than %d directories", maxDirectories)}
		}
		if off >= uint64(f.size) {
			return nil, &FormatError{Offset: from, Msg: fmt.Sprintf("directory %d should be at byte %d, and the file has %d", len(dirs), off, f.size)}
		}
		d, next, nextAt, err := f.directory(int64(off), from, seen)
		if err != nil {
			return nil, err
		}
		d.Index = len(dirs)
		dirs = append(dirs, d)
		off, from = next, nextAt
	}
	return dirs, nil
}

// directory reads the one at off, and the pointer to the next that follows it.
func (f *File) directory(off, from int64, seen *spans) (d *Directory, next uint64, nextAt int64, err error) {
	countSize, entrySize, pointerSize := int64(2), int64(12), int64(4)
	if f.big {
		countSize, entrySize, pointerSize = 8, 20, 8
	}
	var b [8]byte
	if err := f.ReadAt(b[:countSize], off, 0); err != nil {
		return nil, 0, 0, err
	}
	n := uint64(f.order.Uint16(b[:]))
	if f.big {
		n = f.order.Uint64(b[:])
	}
	if n == 0 {
		return nil, 0, 0, &FormatError{Offset: off, Msg: "a directory without fields"}
	}
	// Tags are of 16 bits, so no honest directory has more.
	if n > 1<<16 {
		return nil, 0, 0, &FormatError{Offset: off, Msg: fmt.Sprintf("a directory of %d fields", n)}
	}
	size := int64(n)*entrySize + pointerSize
	if err := f.inside(off+countSize, uint64(size), 0); err != nil {
		return nil, 0, 0, err
	}
	if !seen.add(off, off+countSize+size) {
		return nil, 0, 0, &FormatError{Offset: from, Msg: fmt.Sprintf("points to byte %d, where another directory is: a loop or an overlap", off)}
	}
	buf := make([]byte, size)
	if err := f.ReadAt(buf, off+countSize, 0); err != nil {
		return nil, 0, 0, err
	}
	d = &Directory{Offset: off, file: f, entries: make([]Entry, n)}
	for i := range d.entries {
		d.entries[i] = f.entry(buf[int64(i)*entrySize:], off+countSize+int64(i)*entrySize)
	}
	// Fields should be in order of their tags and no tag twice. Where they are
	// not, the first of a tag counts.
	slices.SortStableFunc(d.entries, func(a, b Entry) int { return int(a.Tag) - int(b.Tag) })
	d.entries = slices.CompactFunc(d.entries, func(a, b Entry) bool { return a.Tag == b.Tag })
	nextAt = off + countSize + int64(n)*entrySize
	return d, f.pointer(buf[int64(n)*entrySize:]), nextAt, nil
}

// entry reads the field in b, which begins at byte at of the file.
func (f *File) entry(b []byte, at int64) Entry {
	e := Entry{Tag: Tag(f.order.Uint16(b)), Type: Type(f.order.Uint16(b[2:])), at: at}
	value, room := 8, uint64(4)
	e.Count = uint64(f.order.Uint32(b[4:]))
	if f.big {
		value, room = 12, 8
		e.Count = f.order.Uint64(b[4:])
	}
	if size := e.Type.size(); size > 0 && e.Count <= room/size {
		e.Offset = at + int64(value)
		return e
	}
	// An offset of 2⁶³ or more becomes negative, and is refused when it is read.
	e.Offset = int64(f.pointer(b[value:]))
	return e
}

func (f *File) pointer(b []byte) uint64 {
	if f.big {
		return f.order.Uint64(b)
	}
	return uint64(f.order.Uint32(b))
}

// Entry finds the field of that tag.
func (d *Directory) Entry(tag Tag) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(d.entries, tag, func(e Entry, t Tag) int { return int(e.Tag) - int(t) })
	if !ok {
		return Entry{}, false
	}
	return d.entries[i], true
}

// Entries returns all fields in order of their tags.
func (d *Directory) Entries() []Entry { return d.entries }

// SubDirectories follows tag 330 (TIFF Technical Note 1): each of its values
// begins a chain, and all their directories are returned in order.
func (d *Directory) SubDirectories() ([]*Directory, error) {
	offs, err := d.Uints(TagSubIFDs, maxDirectories)
	if err != nil {
		return nil, err
	}
	e, _ := d.Entry(TagSubIFDs)
	seen := newSpans(d.file.headerSize())
	for _, o := range d.file.dirs {
		seen.add(o.Offset, o.Offset+1)
	}
	var dirs []*Directory
	for _, off := range offs {
		sub, err := d.file.chain(off, e.Offset, seen)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, sub...)
		if len(dirs) > maxDirectories {
			return nil, &FormatError{e.Offset, TagSubIFDs, fmt.Sprintf("more than %d directories", maxDirectories)}
		}
	}
	for i, s := range dirs {
		s.Index = i
	}
	return dirs, nil
}

// spans are the parts of a file that directories take up, in order. No byte may
// be part of two: that catches loops of every length.
type spans struct{ list []span }

type span struct{ begin, end int64 }

func newSpans(header int64) *spans { return &spans{[]span{{0, header}}} }

// add takes in begin to end, and reports false if some of it is taken.
func (s *spans) add(begin, end int64) bool {
	i, found := slices.BinarySearchFunc(s.list, begin, func(p span, b int64) int {
		switch {
		case p.begin < b:
			return -1
		case p.begin > b:
			return 1
		}
		return 0
	})
	if found || i > 0 && s.list[i-1].end > begin || i < len(s.list) && s.list[i].begin < end {
		return false
	}
	s.list = slices.Insert(s.list, i, span{begin, end})
	return true
}
