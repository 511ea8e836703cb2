package mongodump

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

var (
	// ErrChanged: the file of the image is not the one that was indexed. [Folder.Tiles]
	// indexes it again.
	ErrChanged = errors.New("the dump of the image has changed")
	// ErrFull: the disk has no space for the tiles of a compressed file.
	ErrFull = errors.New("the disk has no space for the tiles of a compressed dump")
)

const (
	magic     = "PTSDUMP1"
	maxTiles  = 1 << 22   // more than the largest image needs
	reserve   = 256 << 20 // bytes that stay free on the disk of the indexes
	entrySize = 8 + 8 + 4
)

// Contents counts what the collection of an image contains.
type Contents struct {
	Tiles      uint32 // that can be addressed
	Repeated   uint32 // documents with the name of an earlier one, which counts
	Others     uint32 // documents that are no tiles: without a name, with another name, or without bytes
	Incomplete uint32 // tiles whose bytes are no complete JPEG
	Bytes      uint64 // of the tiles
	// DamagedAt is the offset of the damage that ended reading, -1 without one. What
	// stands behind it is missing.
	DamagedAt int64
}

// header is the beginning of an index.
type header struct {
	Magic  [len(magic)]byte
	Source fsx.Identity // of the indexed file, without the device
	Contents
	Unzipped bool // the tiles are in a file of their own
}

// An entry says where the bytes of a tile are.
type entry struct {
	Key    uint64
	Offset int64
	Length uint32
}

// Tiles are the tiles of one image, for random access. They are found by an index, which is
// a file that holds the place of each tile in the dump, sorted by address. Of it, only the
// first address of each block is kept in memory: 10 KB for the largest images.
//
// A compressed file has no places: its tiles are written, one after the other, to a file
// beside the index. They take as much space as the compressed file, because JPEGs cannot be
// compressed.
type Tiles struct {
	Contents
	source *os.File // the file of the dump
	id     fsx.Identity
	index  *os.File
	firsts []uint64 // keys of the first entry of each block of the index
	data   *os.File // source, or the file beside the index
}

// blockLength is the number of entries that are read at once.
const blockLength = 128

// Tiles returns the tiles of an image. If there is no index yet, or the file has changed, it
// reads the whole file and writes one. The error may be [ErrNoFolder], [ErrNoCollection],
// [ErrFull] or that of ctx. A damaged file is not an error: see Contents.
func (f *Folder) Tiles(ctx context.Context, image slideatlas.ID) (*Tiles, error) {
	if t, err := f.Indexed(image); err == nil || !errors.Is(err, ErrNoIndex) {
		return t, err
	}
	f.build.Lock()
	defer f.build.Unlock()
	if t, err := f.Indexed(image); err == nil || !errors.Is(err, ErrNoIndex) {
		return t, err // another caller was faster
	}
	if err := f.write(ctx, image); err != nil {
		return nil, err
	}
	t, err := f.Indexed(image)
	if errors.Is(err, ErrNoIndex) {
		err = ErrChanged
	}
	return t, err
}

// ErrNoIndex: there is no index of the file as it is now.
var ErrNoIndex = errors.New("the image is not indexed")

// Indexed is [Folder.Tiles] without writing an index: without an index the error is
// [ErrNoIndex].
func (f *Folder) Indexed(image slideatlas.ID) (_ *Tiles, err error) {
	source, zipped, err := f.open(string(image))
	if err != nil {
		return nil, err
	}
	t := &Tiles{source: source, data: source}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if t.id, err = fsx.IdentifyFile(source); err != nil {
		return nil, fsx.WithoutPath(err)
	}
	if t.index, err = fsx.Open(f.path(image, ".index")); err != nil {
		return nil, noIndex(err)
	}
	h, firsts, err := readIndex(t.index)
	if err != nil {
		return nil, err
	}
	if !h.Source.Same(t.id) || h.Unzipped != zipped {
		return nil, ErrNoIndex
	}
	t.Contents, t.firsts = h.Contents, firsts
	if zipped {
		t.data = nil
		if t.data, err = fsx.Open(f.path(image, ".tiles")); err != nil {
			return nil, noIndex(err)
		}
		if id, err := fsx.IdentifyFile(t.data); err != nil || id.Size != int64(h.Bytes) {
			return nil, ErrNoIndex
		}
	}
	return t, nil
}

func noIndex(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoIndex
	}
	return fmt.Errorf("index of a dump: %w", fsx.WithoutPath(err))
}

// path returns the path of a file of an image in the folder of the indexes.
func (f *Folder) path(image slideatlas.ID, suffix string) string {
	return filepath.Join(f.indexes, string(image)+suffix)
}

// readIndex reads a complete index, and returns its header and the key of the first entry of
// each block. The error is ErrNoIndex if it is not the index that was written.
func readIndex(index *os.File) (h *header, firsts []uint64, err error) {
	fi, err := index.Stat()
	if err != nil {
		return nil, nil, fsx.WithoutPath(err)
	}
	if fi.Size() < headerSize+4 || fi.Size() > headerSize+maxTiles*entrySize+4 {
		return nil, nil, ErrNoIndex
	}
	b := make([]byte, fi.Size())
	if _, err := index.ReadAt(b, 0); err != nil {
		return nil, nil, fsx.WithoutPath(err)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, nil, ErrNoIndex
	}
	h = new(header)
	if _, err := binary.Decode(body, binary.LittleEndian, h); err != nil || string(h.Magic[:]) != magic {
		return nil, nil, ErrNoIndex
	}
	entries := body[headerSize:]
	if int64(h.Tiles)*entrySize != int64(len(entries)) {
		return nil, nil, ErrNoIndex
	}
	for i := 0; i < len(entries); i += blockLength * entrySize {
		firsts = append(firsts, decodeEntry(entries[i:]).Key)
	}
	return h, firsts, nil
}

var (
	headerSize = int64(binary.Size(header{}))
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// write reads the file of an image and writes its index.
func (f *Folder) write(ctx context.Context, image slideatlas.ID) error {
	source, zipped, err := f.open(string(image))
	if err != nil {
		return err
	}
	defer source.Close()
	id, err := fsx.IdentifyFile(source)
	if err != nil {
		return fsx.WithoutPath(err)
	}
	if err := os.MkdirAll(f.indexes, 0o700); err != nil {
		return fmt.Errorf("folder of the indexes: %w", fsx.WithoutPath(err))
	}
	s := &survey{header: header{Source: id, Unzipped: zipped}}
	s.Source.Dev = 0
	copy(s.Magic[:], magic)
	if zipped {
		err = fsx.Create(f.path(image, ".tiles"), 0o600, func(data *os.File) error {
			s.out, s.space = bufio.NewWriterSize(data, 1<<20), func() (int64, error) { return fsx.FreeOn(data) }
			if err := s.read(ctx, source); err != nil {
				return err
			}
			return s.out.Flush()
		})
	} else {
		err = s.read(ctx, source)
	}
	if fsx.IsFull(err) {
		err = ErrFull
	}
	if err != nil {
		return fsx.WithoutPath(err)
	}
	if now, err := fsx.IdentifyFile(source); err != nil || !now.Same(id) {
		return ErrChanged
	}
	b, err := s.index()
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(f.path(image, ".index"), b, 0o600); err != nil {
		return fmt.Errorf("index of a dump: %w", fsx.WithoutPath(err))
	}
	return nil
}

// A survey collects the entries of an index.
type survey struct {
	header
	entries []entry
	out     *bufio.Writer // receives the tiles, if not nil
	written int64
	space   func() (int64, error) // bytes that are free
}

// read reads the tiles of a file. Damage ends it without an error.
func (s *survey) read(ctx context.Context, source *os.File) error {
	s.DamagedAt = -1
	err := read(ctx, source, s.Unzipped, s.add)
	if damage, ok := errors.AsType[*DamageError](err); ok {
		s.DamagedAt = damage.Offset
		return nil
	}
	return err
}

// add adds a document.
func (s *survey) add(doc bson.Raw, offset int64) error {
	name, from, to, err := slideatlas.TileRange(doc)
	tile, ok := slideatlas.ParseName(name)
	if err != nil || !ok {
		s.Others++
		return nil
	}
	if len(s.entries) == maxTiles {
		return fmt.Errorf("the collection has more than %d tiles", maxTiles)
	}
	e := entry{key(tile), offset + int64(from), uint32(to - from)}
	if s.out != nil {
		if e.Offset, err = s.store(doc[from:to]); err != nil {
			return err
		}
	}
	if slideatlas.CheckJPEG(doc[from:to]) != nil {
		s.Incomplete++
	}
	s.entries = append(s.entries, e)
	s.Bytes += uint64(e.Length)
	return nil
}

// store writes the bytes of a tile, and returns their offset.
func (s *survey) store(b []byte) (int64, error) {
	const step = 64 << 20 // bytes between two looks at the free space
	if at := s.written; at/step != (at+int64(len(b)))/step || at == 0 {
		if free, err := s.space(); err != nil {
			return 0, err
		} else if free < reserve+step {
			return 0, ErrFull
		}
	}
	at := s.written
	n, err := s.out.Write(b)
	s.written += int64(n)
	return at, err
}

// index returns the bytes of the index. Of tiles with one name the first one counts, as in
// a server.
func (s *survey) index() ([]byte, error) {
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.Key, b.Key) })
	all := len(s.entries)
	s.entries = slices.CompactFunc(s.entries, func(a, b entry) bool { return a.Key == b.Key })
	s.Repeated = uint32(all - len(s.entries))
	s.Tiles = uint32(len(s.entries))
	b, err := binary.Append(make([]byte, 0, headerSize+int64(len(s.entries))*entrySize+4), binary.LittleEndian, &s.header)
	if err != nil {
		return nil, err
	}
	for _, e := range s.entries {
		b = e.append(b)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// key orders tiles by zoom level, row and column.
func key(t slideatlas.Tile) uint64 {
	return uint64(t.Zoom)<<48 | uint64(t.Row)<<24 | uint64(t.Column)
}

func tileOf(key uint64) slideatlas.Tile {
	return slideatlas.Tile{Zoom: int(key >> 48), Row: int(key >> 24 & (1<<24 - 1)), Column: int(key & (1<<24 - 1))}
}

func (e entry) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, e.Key)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Offset))
	return binary.LittleEndian.AppendUint32(b, e.Length)
}

func decodeEntry(b []byte) entry {
	return entry{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint32(b[16:])}
}

// block returns the entries of a block of the index.
func (t *Tiles) block(i int) ([]byte, error) {
	n := min(blockLength, int(t.Tiles)-i*blockLength)
	b := make([]byte, n*entrySize)
	_, err := t.index.ReadAt(b, headerSize+int64(i)*blockLength*entrySize)
	if errors.Is(err, io.EOF) {
		return nil, ErrChanged
	}
	return b, fsx.WithoutPath(err)
}

// find returns the entry of a tile.
func (t *Tiles) find(tile slideatlas.Tile) (entry, error) {
	if tile.Name() == "" {
		return entry{}, slideatlas.ErrNoTile
	}
	k := key(tile)
	i := sort.Search(len(t.firsts), func(i int) bool { return t.firsts[i] > k }) - 1
	if i < 0 {
		return entry{}, slideatlas.ErrNoTile
	}
	b, err := t.block(i)
	if err != nil {
		return entry{}, err
	}
	j, found := sort.Find(len(b)/entrySize, func(j int) int { return cmp.Compare(k, decodeEntry(b[j*entrySize:]).Key) })
	if !found {
		return entry{}, slideatlas.ErrNoTile
	}
	return decodeEntry(b[j*entrySize:]), nil
}

// Append appends the bytes of a tile to dst. The error may be [slideatlas.ErrNoTile],
// [slideatlas.ErrNotJPEG] or [ErrChanged]. It may be called concurrently.
func (t *Tiles) Append(dst []byte, tile slideatlas.Tile) ([]byte, error) {
	e, err := t.find(tile)
	if err != nil {
		return dst, err
	}
	return t.append(dst, e)
}

// append appends the bytes of an entry. The identity is checked after they were read: if the
// file was overwritten meanwhile, they may be part of another image.
func (t *Tiles) append(dst []byte, e entry) ([]byte, error) {
	if e.Length > maxDocument {
		return dst, ErrChanged
	}
	n := len(dst)
	dst = slices.Grow(dst, int(e.Length))[:n+int(e.Length)]
	_, err := t.data.ReadAt(dst[n:], e.Offset)
	id, identityErr := fsx.IdentifyFile(t.source)
	switch {
	case identityErr != nil:
		return dst[:n], fsx.WithoutPath(identityErr)
	case !id.Same(t.id), errors.Is(err, io.EOF):
		return dst[:n], ErrChanged
	case err != nil:
		return dst[:n], fsx.WithoutPath(err)
	}
	if err := slideatlas.CheckJPEG(dst[n:]); err != nil {
		return dst[:n], err
	}
	return dst, nil
}

// Each calls f with all tiles, sorted by zoom level, row and column. The bytes are valid
// during the call only; they are nil and err is set if the tile cannot be read. Each stops
// at an error of f or of ctx.
func (t *Tiles) Each(ctx context.Context, f func(tile slideatlas.Tile, b []byte, err error) error) error {
	var buf []byte
	for i := range t.firsts {
		block, err := t.block(i)
		if err != nil {
			return err
		}
		for b := range slices.Chunk(block, entrySize) {
			if err := ctx.Err(); err != nil {
				return err
			}
			e := decodeEntry(b)
			if buf, err = t.append(buf[:0], e); err != nil {
				buf = nil
			}
			if err := f(tileOf(e.Key), buf, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close closes the files of the tiles.
func (t *Tiles) Close() error {
	var errs []error
	for i, f := range []*os.File{t.source, t.index, t.data} {
		if f != nil && (i < 2 || f != t.source) {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Forget removes the indexes of images that are not kept. Keep reports which ones are.
func (f *Folder) Forget(keep func(image slideatlas.ID) bool) error {
	entries, err := os.ReadDir(f.indexes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fsx.WithoutPath(err)
	}
	var errs []error
	for _, e := range entries {
		name, suffix, _ := bytes.Cut([]byte(e.Name()), []byte{'.'})
		id, ok := slideatlas.ParseID(string(name))
		if !ok || keep(id) || string(suffix) != "index" && string(suffix) != "tiles" {
			continue
		}
		if err := os.Remove(filepath.Join(f.indexes, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fsx.WithoutPath(err))
		}
	}
	return errors.Join(errs...)
}
