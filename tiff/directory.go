package tiff

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

const (
	// maxDirectories limits a chain, and the sub-directories of one directory. Slides have
	// a dozen, stacks of focal planes some hundreds. Each takes a read: this number takes
	// milliseconds, the millions that fit into a file would take minutes.
	maxDirectories = 4096
	// maxFields limits one directory. libtiff also rejects larger ones, as the pointer is
	// then probably not to a directory. Slides have thirty.
	maxFields = 4096
	// maxAllFields limits all directories of a walk. Otherwise a file of gigabytes could
	// occupy as many gigabytes of memory; this number takes 10 MB.
	maxAllFields = 64 * maxDirectories
	// maxDepth limits the nesting of sub-directories. Slides have one level of them, raw
	// photographs three.
	maxDepth = 8
	// readAhead is the number of bytes to read of a directory before its length is known.
	// It holds 84 fields of a TIFF, 50 of a BigTIFF.
	readAhead = 1 << 10
)

// A Directory is one image file directory (IFD): the fields that describe one image.
// It is immutable and safe for concurrent use.
type Directory struct {
	Index  int   // position in the chain; of a sub-directory, in the list of its parent
	Offset int64 // of its first byte in the file

	file   *File
	parent *Directory // of a sub-directory
	end    int64      // its end, including the pointer to the next directory
	fields []Entry    // by tag, without duplicates
}

// An Entry describes one field: Count values of Type whose bytes begin at Offset in
// the file, inside the entry itself if they fit. Type, Offset and Count are as stored
// in the file and have not been checked. An offset above 2⁶³ becomes math.MaxInt64,
// which is outside every file.
type Entry struct {
	Tag    Tag
	Type   Type
	Count  uint64
	Offset int64

	at    int64   // offset of the entry
	value [8]byte // the last part of the entry: a value or its offset
}

// Entry returns the field with that tag. If the directory has several, it returns the
// first.
func (d *Directory) Entry(tag Tag) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(d.fields, tag, func(e Entry, t Tag) int { return cmp.Compare(e.Tag, t) })
	if !ok {
		return Entry{}, false
	}
	return d.fields[i], true
}

// Entries returns all fields in order of their tags. The slice belongs to d and
// must not be changed.
func (d *Directory) Entries() []Entry { return d.fields }

// SubDirectories reads the directories that tag 330 points to (TIFF Technical Note
// 1): each of its values is the offset of the first directory of a chain. It returns
// all directories in order, each once, and none if d does not have the tag.
//
// The error is a [*FormatError] if a value points to the main chain or to d itself, if
// a chain contains a loop, or if sub-directories are nested more than 8 deep, so that
// recursion always ends; and an [*UnsupportedError] for more than 4096 directories.
func (d *Directory) SubDirectories() ([]*Directory, error) {
	e, ok := d.Entry(TagSubIFDs)
	if !ok {
		return nil, nil
	}
	offsets, err := d.Uints(TagSubIFDs, maxDirectories)
	if err != nil {
		return nil, err
	}
	w := newWalk(d.file, TagSubIFDs)
	for _, o := range d.file.dirs {
		w.taken.add(span{o.Offset, o.end})
	}
	depth := 1
	for o := d; o.parent != nil; o = o.parent {
		w.taken.add(span{o.Offset, o.end})
		depth++
	}
	if depth > maxDepth {
		return nil, &FormatError{e.at, TagSubIFDs, fmt.Sprintf("sub-directories are nested more than %d deep", maxDepth)}
	}
	w.parent = d
	for i, off := range offsets {
		if err := w.chain(off, e.Offset+int64(i)*int64(e.Type.Size())); err != nil {
			return nil, err
		}
	}
	return w.dirs, nil
}

// A walk reads directories from pointer to pointer. It limits their total cost, and rejects
// directories that overlap.
type walk struct {
	file   *File
	tag    Tag        // the field where the walk begins; 0 for the main chain
	parent *Directory // the directory of that field
	dirs   []*Directory
	fields int // of all dirs
	taken  spans
	buf    []byte
}

func newWalk(f *File, tag Tag) *walk {
	return &walk{file: f, tag: tag, taken: spans{{0, f.layout.header()}}, buf: make([]byte, min(readAhead, f.size))}
}

// chain reads the directories that begin at off. The pointer to off is at byte from.
func (w *walk) chain(off uint64, from int64) error {
	begin := len(w.dirs)
	for off != 0 && !w.joins(off, begin) {
		if len(w.dirs) == maxDirectories {
			return &UnsupportedError{from, w.tag, fmt.Sprintf("the file has more than %d directories", maxDirectories)}
		}
		if off >= uint64(w.file.size) {
			return &FormatError{from, w.tag, fmt.Sprintf("the file is incomplete or damaged: directory %d should be at byte %d, but the file ends at byte %d", len(w.dirs), off, w.file.size)}
		}
		d, next, err := w.directory(int64(off), from)
		if err != nil {
			return err
		}
		if d == nil {
			return nil
		}
		w.dirs = append(w.dirs, d)
		off, from = next, d.end-w.file.layout.pointer
	}
	return nil
}

// joins reports whether the chain of sub-directories that began with w.dirs[begin] ends at
// off, because another known chain begins there. Bio-Formats and raw2ometiff write such
// files: tag 330 lists all levels of a pyramid, each level also points to the next one, and
// the last one of Bio-Formats points into the main chain.
func (w *walk) joins(off uint64, begin int) bool {
	if !w.taken.beginAt(int64(off)) {
		return false
	}
	isIt := func(d *Directory) bool { return uint64(d.Offset) == off }
	if begin == len(w.dirs) {
		return slices.ContainsFunc(w.dirs, isIt)
	}
	return !slices.ContainsFunc(w.dirs[begin:], isIt)
}

// directory reads the directory at off, and the pointer to the next one at its end. The
// pointer to off is at byte from. It returns nil for an empty directory at the end of a
// chain that is not the first: some writers leave one behind, and libtiff ignores it.
func (w *walk) directory(off, from int64) (d *Directory, next uint64, err error) {
	f, l := w.file, w.file.layout
	b := w.buf[:min(readAhead, f.size-off)]
	if err := f.ReadAt(b, off, w.tag); err != nil {
		return nil, 0, err
	}
	if int64(len(b)) < l.count {
		return nil, 0, &FormatError{off, w.tag, fmt.Sprintf("the file is incomplete: it ends %d bytes into directory %d", len(b), len(w.dirs))}
	}
	n := f.number(b[:l.count])
	if empty := l.count + l.pointer; n == 0 && len(w.dirs) > 0 && int64(len(b)) >= empty && f.number(b[l.count:empty]) == 0 {
		return nil, 0, nil
	}
	if n == 0 || n > maxFields {
		return nil, 0, &FormatError{off, w.tag, fmt.Sprintf("the file is damaged: directory %d has %d fields, expected 1 to %d", len(w.dirs), n, maxFields)}
	}
	if w.fields += int(n); w.fields > maxAllFields {
		return nil, 0, &UnsupportedError{off, w.tag, fmt.Sprintf("the file has more than %d fields in %d directories", maxAllFields, len(w.dirs)+1)}
	}
	size := l.count + int64(n)*l.entry + l.pointer
	if !f.holds(off, uint64(size)) {
		return nil, 0, &FormatError{off, w.tag, fmt.Sprintf("the file is incomplete or damaged: directory %d has %d fields in %d bytes, but the file ends at byte %d", len(w.dirs), n, size, f.size)}
	}
	if other, ok := w.taken.add(span{off, off + size}); !ok {
		return nil, 0, &FormatError{from, w.tag, fmt.Sprintf("the file is damaged: directory %d should be at bytes %d to %d, which overlap %s (a loop or an overlap)",
			len(w.dirs), off, off+size, other.what(l))}
	}
	if b, err = w.rest(b, off, size); err != nil {
		return nil, 0, err
	}
	d = &Directory{Index: len(w.dirs), Offset: off, file: f, parent: w.parent, end: off + size}
	d.fields = f.entries(b[l.count:size-l.pointer], off+l.count)
	return d, f.number(b[size-l.pointer:]), nil
}

// rest returns the size bytes at off, the first of which are in b.
func (w *walk) rest(b []byte, off, size int64) ([]byte, error) {
	have := int64(len(b))
	if size <= have {
		return b[:size], nil
	}
	w.buf = slices.Grow(b, int(size-have))[:size]
	if err := w.file.ReadAt(w.buf[have:], off+have, w.tag); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// entries decodes the fields in b, which begins at byte at of the file. Tags should be in
// order and unique (TIFF 6.0 page 15); otherwise the first field of a tag is used.
func (f *File) entries(b []byte, at int64) []Entry {
	fields := make([]Entry, 0, len(b)/int(f.layout.entry))
	for field := range slices.Chunk(b, int(f.layout.entry)) {
		fields = append(fields, f.entry(field, at))
		at += f.layout.entry
	}
	byTag := func(a, b Entry) int { return cmp.Compare(a.Tag, b.Tag) }
	slices.SortStableFunc(fields, byTag)
	return slices.CompactFunc(fields, func(a, b Entry) bool { return a.Tag == b.Tag })
}

// entry decodes the field in b, which begins at byte at of the file.
func (f *File) entry(b []byte, at int64) Entry {
	value := len(b) - int(f.layout.pointer)
	e := Entry{
		Tag:   Tag(f.order.Uint16(b)),
		Type:  Type(f.order.Uint16(b[2:])),
		Count: f.number(b[4:value]),
		at:    at,
	}
	copy(e.value[:], b[value:])
	if f.inline(e) {
		e.Offset = at + int64(value)
	} else {
		e.Offset = int64(min(f.number(b[value:]), math.MaxInt64))
	}
	return e
}

// inline reports whether the values of e fit into the entry itself.
func (f *File) inline(e Entry) bool {
	size := uint64(e.Type.Size())
	return size > 0 && e.Count <= uint64(f.layout.pointer)/size
}

// A span is a part of a file, from begin up to end.
type span struct{ begin, end int64 }

func (s span) what(l layout) string {
	if s.begin < l.header() {
		return "the file's header"
	}
	return fmt.Sprintf("the directory at bytes %d to %d", s.begin, s.end)
}

// spans are parts of a file in order, without overlaps.
type spans []span

func (p spans) search(begin int64) (i int, found bool) {
	return slices.BinarySearchFunc(p, begin, func(s span, begin int64) int { return cmp.Compare(s.begin, begin) })
}

// beginAt reports whether a span begins at that offset.
func (p spans) beginAt(begin int64) bool {
	_, found := p.search(begin)
	return found
}

// add inserts s unless it overlaps another span, which is then returned.
func (p *spans) add(s span) (other span, ok bool) {
	i, _ := p.search(s.begin)
	if i > 0 && (*p)[i-1].end > s.begin {
		return (*p)[i-1], false
	}
	if i < len(*p) && (*p)[i].begin < s.end {
		return (*p)[i], false
	}
	*p = slices.Insert(*p, i, s)
	return span{}, true
}
