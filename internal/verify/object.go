package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// objectPart is how many bytes of an object are read with one request.
	objectPart = 8 << 20
	// objectReads is how many requests read ahead: one alone waits for the server most of the
	// time.
	objectReads = 4
)

// bucketIsThere returns [ErrNoRoot] if the bucket of the store can't be listed.
func (r *run) bucketIsThere() error {
	src, err := r.Sources.Open(r.store)
	if err == nil {
		defer src.Close()
		_, err = src.Root()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoot, err)
	}
	return nil
}

// readObject is read for an object of a bucket.
func (r *run) readObject(ctx context.Context, e *catalog.Entry, progress func(done, total int64)) (digest string, same bool, err error) {
	src, err := r.Sources.Open(r.store)
	if err != nil {
		return "", false, err
	}
	defer src.Close()
	f, err := src.(source.Files).Open(e.Path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	id := f.Identity()
	if id.Size != e.Identity.Size || id.MTime != e.Identity.MTime {
		return "", false, errWritten
	}
	digest, err = hashObject(ctx, f, id.Size, r.pacer, func(done, read int64) {
		r.result.Bytes += read
		if progress != nil {
			progress(done, id.Size)
		}
	})
	if errors.Is(err, source.ErrChanged) {
		err = ErrChanged
	}
	return digest, id.Same(e.Identity), err
}

// A part is a part of an object that was read, or the error of reading it.
type part struct {
	b   []byte
	err error
}

// hashObject returns the SHA-256 of size bytes of r. Progress is called with the bytes so far
// and those of the last part.
func hashObject(ctx context.Context, r io.ReaderAt, size int64, p *pacer, progress func(done, read int64)) (string, error) {
	h := sha256.New()
	var ended atomic.Bool
	defer ended.Store(true)
	var ahead []chan part
	next := int64(0)
	for done := int64(0); done < size; {
		for len(ahead) < objectReads && next < size {
			n := min(objectPart, size-next)
			if err := p.wait(ctx, n); err != nil {
				return "", err
			}
			ahead = append(ahead, readAhead(r, next, n, &ended))
			next += n
		}
		var got part
		select {
		case got = <-ahead[0]:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if got.err != nil {
			return "", got.err
		}
		h.Write(got.b)
		done += int64(len(got.b))
		ahead = ahead[1:]
		progress(done, int64(len(got.b)))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readAhead reads a part in the background.
func readAhead(r io.ReaderAt, off, n int64, ended *atomic.Bool) chan part {
	c := make(chan part, 1)
	go func() {
		if ended.Load() {
			c <- part{err: context.Canceled}
			return
		}
		b := make([]byte, n)
		got, err := r.ReadAt(b, off)
		if int64(got) == n {
			err = nil
		} else if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		c <- part{b, err}
	}()
	return c
}
