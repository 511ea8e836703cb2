// Package verify reads files from end to end and says whether their bytes are
// still those that were cataloged.
package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrChanged: the file was written to, or another put in its place, while it was
// read.
var ErrChanged = errors.New("verify: the file was changed while it was read")

// Options bound what is read.
type Options struct {
	// Rate is how many bytes a second may be read. For [Hash] 0 is without bound; for
	// a [Verifier] it is the store's own rate, and less than 0 is without bound.
	Rate int64
	// Progress, if not nil, is told how far it is: bytes of a file, or images of a
	// store. It must not block.
	Progress func(done, total int64)
	// Limit is how many images of a store are read at most; 0 for all.
	Limit int
}

// block is how many bytes are read at a time.
const block = 1 << 20

// Hash returns the SHA-256 of a regular file in hexadecimal, wherever its offset
// is. It leaves in the page cache what was there before, and else takes out what it
// has read, so that it does not push out the tiles that people look at.
//
// The error is [ErrChanged] if the file is not the same after as before, a read
// error with its offset, or the context's. It holds no file name.
func Hash(ctx context.Context, f *os.File, o Options) (digest string, err error) {
	return hash(ctx, f, newPacer(o.Rate), o.Progress)
}

func hash(ctx context.Context, f *os.File, p *pacer, progress func(done, total int64)) (string, error) {
	before, err := fsx.IdentifyFile(f)
	if err != nil {
		return "", fmt.Errorf("verify: %w", fsx.WithoutPath(err))
	}
	h, cache := sha256.New(), newCache(f, before.Size)
	defer cache.close()
	buf := make([]byte, min(block, max(before.Size, 1)))
	for at := int64(0); at < before.Size; {
		if err := p.wait(ctx, min(int64(len(buf)), before.Size-at)); err != nil {
			return "", err
		}
		cache.reading(at)
		n, err := f.ReadAt(buf[:min(int64(len(buf)), before.Size-at)], at)
		h.Write(buf[:n])
		at += int64(n)
		cache.read(at)
		if progress != nil {
			progress(at, before.Size)
		}
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%w: it ends at byte %d, not at %d", ErrChanged, at, before.Size)
		}
		if err != nil {
			return "", fmt.Errorf("verify: read error at byte %d of %d: %w", at, before.Size, fsx.WithoutPath(err))
		}
	}
	after, err := fsx.IdentifyFile(f)
	if err != nil {
		return "", fmt.Errorf("verify: %w", fsx.WithoutPath(err))
	}
	if after != before {
		return "", ErrChanged
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
