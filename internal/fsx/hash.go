package fsx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
)

// hashBuffer is how many bytes are read at a time.
const hashBuffer = 1 << 20

// SHA256 returns the SHA-256 of the first size bytes of r in hexadecimal. The error is
// [io.ErrUnexpectedEOF] if there are fewer. Progress may be nil.
func SHA256(ctx context.Context, r io.ReaderAt, size int64, progress func(done, total int64)) (string, error) {
	return CopySHA256(ctx, io.Discard, r, size, progress)
}

// CopySHA256 is [SHA256] that also writes what it reads to w.
func CopySHA256(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, progress func(done, total int64)) (string, error) {
	h := sha256.New()
	buf := make([]byte, min(hashBuffer, max(size, 1)))
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		h.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return "", err
		}
		off += int64(n)
		if progress != nil {
			progress(off, size)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SHA256File returns the SHA-256 of the regular file at path in hexadecimal, and its
// size.
func SHA256File(ctx context.Context, path string) (digest string, size int64, err error) {
	f, err := Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	digest, err = SHA256(ctx, f, fi.Size(), nil)
	return digest, fi.Size(), err
}
