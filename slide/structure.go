package slide

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// StructureFormat is the number of the format of structure records. Records of other formats are of no
// use: they are made again.
const StructureFormat = 1

// A Structure is what opening a slide and finding its tiles needs of a file: with it, [OpenStructure] opens the slide
// without reading the file. It has the parts of the file that [Open] reads, so it contains the texts of
// the slide, but no pixels and no label or macro: those are read from the file when they are requested.
//
// Neither is compressed; both become several times shorter when they are.
type Structure struct {
	Record []byte   // all but the tile tables
	Levels [][]byte // the tile table of each level
}

const (
	structureMagic = "PTSS"
	maxStructure   = 4 << 20 // bytes of a record
	maxPieces      = 1 << 16
	maxGaps        = 2 * maxRecorded // bytes
	// maxRecordedTiles limits the tiles of a level. A slide of 2^20 pixels square has 4 million.
	maxRecordedTiles = 16 << 20
	maxPictureTable  = 1024 // strips of an associated image whose places are recorded
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Structure returns the structure record of a slide that was opened by [Open]. It opens the file once more,
// and reads the tile tables of all levels.
//
// The error is a [*tiff.UnsupportedError] if the slide is not one file, or has too large a structure, and
// otherwise that of reading.
func (s *Slide) Structure() (Structure, error) {
	if s.file == nil {
		return Structure{}, &tiff.UnsupportedError{Msg: "the slide is not one file"}
	}
	rec := &recorder{r: s.r}
	again, err := Open(rec, s.size)
	if err != nil {
		return Structure{}, err
	}
	if err := again.touch(); err != nil {
		return Structure{}, err
	}
	dirs, err := again.allDirectories()
	if err != nil {
		return Structure{}, err
	}
	pieces, err := rec.parts(dirs, s.file.ByteOrder(), s.file.Big())
	if err != nil {
		return Structure{}, err
	}
	st, err := s.encode(pieces)
	if err != nil {
		return Structure{}, err
	}
	// The parts that were left out have no meaning: otherwise there is no record.
	opened, err := OpenStructure(st.Record, func(level int) ([]byte, error) { return st.Levels[level], nil }, s.r, s.size)
	if err != nil || !opened.equals(s) {
		return Structure{}, &tiff.UnsupportedError{Msg: "the structure of the file cannot be recorded"}
	}
	return st, nil
}

// touch reads what is read of a file later: the tables that JPEGs share, and the places of the strips of
// associated images.
func (s *Slide) touch() error {
	for i, src := range s.sources {
		if s.Levels[i].Layout.Codec == JPEG {
			if _, err := readSplicer(src.dir, &s.Levels[i].Layout); err != nil {
				return err
			}
		}
	}
	for i := range s.associated {
		if d := s.associated[i].dir; d != nil && entryCount(d, tiff.TagStripOffsets) <= maxPictureTable && entryCount(d, tiff.TagTileOffsets) <= maxPictureTable {
			s.piecesCost(d)
		}
	}
	return nil
}

func entryCount(d *tiff.Directory, tag tiff.Tag) uint64 {
	e, _ := d.Entry(tag)
	return e.Count
}

// allDirectories returns the directories of the file, with those that any of them lists.
func (s *Slide) allDirectories() ([]*tiff.Directory, error) {
	dirs := slices.Clone(s.file.Directories())
	for _, d := range s.file.Directories() {
		subs, err := d.SubDirectories()
		if err != nil && !isFieldError(err) {
			return nil, err
		}
		dirs = append(dirs, subs...)
	}
	return dirs, nil
}

// encode returns the record.
func (s *Slide) encode(pieces []piece) (Structure, error) {
	var st Structure
	b := append([]byte(structureMagic), StructureFormat)
	b = binary.AppendUvarint(b, uint64(s.size)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(len(pieces)))
	end := int64(0)
	for i := range pieces {
		p := &pieces[i]
		b = binary.AppendUvarint(b, uint64(p.off-end)) //nolint:gosec // in order
		b = binary.AppendUvarint(b, uint64(p.n))       //nolint:gosec // not negative
		kind := byte(0)
		if p.b == nil {
			kind = 1
		}
		b = append(append(b, kind, p.fill), p.b...)
		if end = p.end(); len(b) > maxStructure {
			return st, errRecorded
		}
	}
	for i := range s.Levels {
		table, err := s.encodeTable(i)
		if err != nil {
			return st, err
		}
		st.Levels = append(st.Levels, table)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(table, castagnoli))
	}
	st.Record = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return st, nil
}

// encodeTable returns the tile table of a level.
func (s *Slide) encodeTable(level int) ([]byte, error) {
	src := s.sources[level]
	t := src.table.Load()
	if t == nil {
		var err error
		if t, err = s.load(src, &s.Levels[level].Layout); err != nil {
			return nil, fmt.Errorf("slide: level %d: %w", level, err)
		}
	}
	if t.len() > maxRecordedTiles {
		return nil, errRecorded
	}
	return appendPlaces(nil, t.len(), t.places()), nil
}

// len returns the number of tiles in the table.
func (t *table) len() int {
	if t.compact != nil {
		return t.compact.n
	}
	return min(t.offsets.Len(), t.counts.Len())
}

// at returns the place of tile i.
func (t *table) at(i int) (off, n uint64) {
	if t.compact != nil {
		return t.compact.at(i)
	}
	return t.offsets.At(i), t.counts.At(i)
}

// places returns the places of all tiles.
func (t *table) places() iter.Seq[tilePlace] {
	return func(yield func(tilePlace) bool) {
		for i := range t.len() {
			off, n := t.at(i)
			if !yield(tilePlace{off, n}) {
				return
			}
		}
	}
}

// OpenStructure opens a slide from its structure record, as [Open] opens the file in r, which is
// size bytes long. It does not read r: that is read for tiles, associated images and colour profiles.
// Level returns the tile table of a level, when it is first needed. Without one (nil), and with a damaged one,
// the table is read from r. Its errors are returned by the methods that need the table. The slide keeps parts of
// record, which must not be changed.
//
// The error is [ErrStructure] if the record cannot be used. A record must be trusted as far as the file:
// a wrong one gives wrong tiles.
func OpenStructure(record []byte, level func(level int) ([]byte, error), r io.ReaderAt, size int64) (*Slide, error) {
	c, sums, err := decodeStructure(record, size)
	if err != nil {
		return nil, err
	}
	c.r = r
	s, err := Open(c, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStructure, err)
	}
	if len(sums) != 4*len(s.Levels) {
		return nil, fmt.Errorf("%w: it has %d tile tables for %d levels", ErrStructure, len(sums)/4, len(s.Levels))
	}
	for i, src := range s.sources {
		sum := binary.BigEndian.Uint32(sums[4*i:])
		src.record = func() (*compactTable, error) { return recordedTable(level, i, sum, src) }
	}
	c.opened = true
	s.mem.Add(c.memory())
	return s, nil
}

// recordedTable returns the recorded tile table of a level, or nil if it cannot be used or does not exist.
func recordedTable(read func(level int) ([]byte, error), level int, sum uint32, src *source) (*compactTable, error) {
	b, err := read(level)
	if err != nil || b == nil || crc32.Checksum(b, castagnoli) != sum {
		return nil, err
	}
	n, places, ok := parsePlaces(b)
	most := min(entryCount(src.dir, src.offsets), entryCount(src.dir, src.counts))
	if !ok || n > maxRecordedTiles || uint64(n) != most { //nolint:gosec // not negative
		return nil, nil
	}
	return newCompactTable(n, places), nil
}

// decodeStructure parses a record. Its last part are the checksums of the tile tables.
func decodeStructure(record []byte, size int64) (c *replay, sums []byte, err error) {
	const head = len(structureMagic) + 1
	end := len(record) - 4
	if end < head || len(record) > maxStructure+1<<16 || string(record[:head-1]) != structureMagic || record[head-1] != StructureFormat ||
		binary.BigEndian.Uint32(record[end:]) != crc32.Checksum(record[:end], castagnoli) {
		return nil, nil, ErrStructure
	}
	d := structureDecoder{b: record[head:end]}
	if d.number() != uint64(size) { //nolint:gosec // not negative
		return nil, nil, fmt.Errorf("%w: it is of a file of another size", ErrStructure)
	}
	n := d.number()
	if n > maxPieces || d.bad {
		return nil, nil, ErrStructure
	}
	c = &replay{}
	for range n {
		c.pieces = append(c.pieces, d.piece(size))
	}
	if d.bad || d.gaps > maxGaps || len(d.b)%4 != 0 {
		return nil, nil, ErrStructure
	}
	return c, d.b, nil
}

// A structureDecoder reads a record.
type structureDecoder struct {
	b    []byte
	at   int64 // end of the last piece
	gaps int64 // bytes of gaps
	bad  bool
}

func (d *structureDecoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// piece reads a piece, which is within the file.
func (d *structureDecoder) piece(size int64) (p piece) {
	ahead, n := d.number(), d.number()
	if d.bad || len(d.b) < 2 || ahead > uint64(size-d.at) || n == 0 || n > uint64(size-d.at)-ahead { //nolint:gosec // not negative
		d.bad = true
		return p
	}
	p = piece{off: d.at + int64(ahead), n: int64(n), fill: d.b[1]} //nolint:gosec // at most size
	kind := d.b[0]
	d.b = d.b[2:]
	d.at = p.end()
	if kind == 1 {
		d.gaps += min(p.n, maxGaps+1)
		d.bad = d.bad || d.gaps > maxGaps
		return p
	}
	if kind != 0 || n > uint64(len(d.b)) {
		d.bad = true
		return p
	}
	p.b, d.b = d.b[:n:n], d.b[n:]
	return p
}

// equals reports whether two slides of a file are the same, but for what they read later.
func (s *Slide) equals(o *Slide) bool {
	return s.Format == o.Format && s.Vendor == o.Vendor && reflect.DeepEqual(s.Levels, o.Levels) && slices.Equal(s.Zooms, o.Zooms) &&
		s.MPPX == o.MPPX && s.MPPY == o.MPPY && s.ObjectivePower == o.ObjectivePower && s.Barcode == o.Barcode &&
		maps.Equal(s.Properties, o.Properties) && slices.Equal(s.Warnings, o.Warnings) && s.Bounds == o.Bounds &&
		s.gaps == o.gaps && slices.Equal(s.background, o.background) && equalEmbedded(s.profile, o.profile) &&
		slices.EqualFunc(s.associated, o.associated, func(a, b associatedImage) bool {
			return a.kind == b.kind && (a.dir == nil) == (b.dir == nil) && (a.dir == nil || a.dir.Offset == b.dir.Offset) && equalEmbedded(a.text, b.text)
		})
}

func equalEmbedded(a, b *embedded) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}
