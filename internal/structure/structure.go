// Package structure keeps structure records in the catalog: with them, any server opens a slide whose bytes
// are far away, and finds its tiles, without reading it.
package structure

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/slide"
)

// Format is the number of the format of the records: that of package slide, and how they are compressed.
const Format = slide.StructureFormat

const (
	maxRecord = 8 << 20   // bytes of a record, decompressed
	maxLevel  = 128 << 20 // of the tile table of a level
	// levelTime is how long a request waits for a tile table from the catalog. Then the table is read
	// from the file.
	levelTime = 3 * time.Second
)

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are valid
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxLevel))
	if err != nil {
		panic(err) // the options are valid
	}
	return d
})

// Of returns the structure of a slide, without revision. Token names its object in its store. Errors
// are those of [slide.Slide.Structure].
func Of(s *slide.Slide, token []byte) (*catalog.Structure, error) {
	st, err := s.Structure()
	if err != nil {
		return nil, err
	}
	c := &catalog.Structure{Format: Format, Token: token, Record: encoder().EncodeAll(st.Record, nil)}
	for _, b := range st.Levels {
		c.Levels = append(c.Levels, encoder().EncodeAll(b, nil))
	}
	return c, nil
}

// A Record is the structure record of an image.
type Record struct {
	Token []byte // names the object in its store

	catalog         *catalog.Structures
	image, revision string
	record          []byte
}

// Find returns the record of an image. The error is [catalog.ErrNotFound] if it has no record of that
// revision, and may be [slide.ErrStructure].
func Find(ctx context.Context, c *catalog.Structures, image, revision string) (*Record, error) {
	st, err := c.Get(ctx, image, revision, Format)
	if err != nil {
		return nil, err
	}
	record, err := decompress(st.Record, maxRecord)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", slide.ErrStructure, err)
	}
	return &Record{Token: st.Token, catalog: c, image: image, revision: revision, record: record}, nil
}

// Open opens the slide whose file is r and has size bytes, without reading it. Tile tables are read from the catalog
// when they are needed, or else from the file.
func (r *Record) Open(file io.ReaderAt, size int64) (*slide.Slide, error) {
	return slide.OpenStructure(r.record, r.level, file, size)
}

// level returns the tile table of a level, or nil if it is not in the catalog at present.
func (r *Record) level(level int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), levelTime)
	defer cancel()
	b, err := r.catalog.Level(ctx, r.image, r.revision, Format, level)
	if err != nil || b == nil {
		return nil, nil //nolint:nilerr // the file has it, too
	}
	table, err := decompress(b, maxLevel)
	if err != nil {
		return nil, nil //nolint:nilerr // likewise
	}
	return table, nil
}

// decompress returns the decompressed bytes, at most limit.
func decompress(b []byte, limit int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return nil, err
	}
	if h.FrameContentSize > uint64(limit) { //nolint:gosec // not negative
		return nil, zstd.ErrDecoderSizeExceeded
	}
	all, err := decoder().DecodeAll(b, make([]byte, 0, h.FrameContentSize)) // at most maxLevel
	if err == nil && len(all) > limit {
		return nil, zstd.ErrDecoderSizeExceeded
	}
	return all, err
}
