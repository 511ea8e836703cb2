// Package verify reads complete files and checks that their bytes are still those in
// the catalog.
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

// ErrChanged: the file was written to or replaced while it was read.
var ErrChanged = errors.New("the file was changed while it was read")

// Options limit a run.
type Options struct {
	// Rate is the limit in bytes per second. For [Hash], 0 is no limit; for a [Verifier],
	// 0 is the store's own rate, and less than 0 is no limit.
	Rate int64
	// Progress, if not nil, receives the progress: bytes of a file, or images of a store.
	// It must not block.
	Progress func(done, total int64)
	// Limit is the maximum number of images of a store to read; 0 for all.
	Limit int
}

// block is how many bytes are read at a time.
const block = 1 << 20

// Hash returns the SHA-256 of a regular file in hexadecimal, whatever its offset. It
// removes what it has read from the page cache, except pages that were cached before,
// so that it does not displace the tiles that people look at.
//
// The error is [ErrChanged] if the file's identity has changed after the read, a read
// error with its offset, or the context's. It holds no file name.
func Hash(ctx context.Context, f *os.File, o Options) (digest string, err error) {
	return hash(ctx, f, newPacer(o.Rate), o.Progress)
}

// HashSeries returns the digest of a set of files: the SHA-256 of their digests in hexadecimal,
// a line each. Open opens the file at a number below n. Errors are those of [Hash] and open.
func HashSeries(ctx context.Context, n int, open func(i int) (*os.File, error), o Options) (digest string, err error) {
	return hashSeries(ctx, n, open, newPacer(o.Rate), o.Progress)
}

func hashSeries(ctx context.Context, n int, open func(i int) (*os.File, error), p *pacer, progress func(done, total int64)) (string, error) {
	all := sha256.New()
	for i := range n {
		f, err := open(i)
		if err != nil {
			return "", err
		}
		digest, err := hash(ctx, f, p, progress)
		f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(all, digest)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func hash(ctx context.Context, f *os.File, p *pacer, progress func(done, total int64)) (string, error) {
	before, err := fsx.IdentifyFile(f)
	if err != nil {
		return "", fmt.Errorf("cannot read the identity of the file: %w", fsx.WithoutPath(err))
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
			return "", fmt.Errorf("read error at byte %d of %d: %w", at, before.Size, fsx.WithoutPath(err))
		}
	}
	after, err := fsx.IdentifyFile(f)
	if err != nil {
		return "", fmt.Errorf("cannot read the identity of the file: %w", fsx.WithoutPath(err))
	}
	if after != before {
		return "", ErrChanged
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
