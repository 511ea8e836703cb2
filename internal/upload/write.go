package upload

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

const (
	// checkpointBytes is how much is received before it is synced to disk, which bounds
	// what a crash costs even if the whole file is one request.
	checkpointBytes = 64 << 20
	copyBuffer      = 256 << 10
	// minRate is the minimum rate of a client in bytes per second, measured over
	// Options.Idle: slower clients would occupy the limited slots.
	minRate = 1 << 10
)

var (
	errChecksum = errors.New("the checksum of the chunk is wrong")
	errTooMuch  = errors.New("more bytes were sent than the file has")
	errIdle     = errors.New("no bytes received for a long time")
	errBusy     = errors.New("too many uploads at once")
	errCut      = errors.New("the connection was interrupted")
	errLost     = errors.New("bytes that were acknowledged are missing")
)

// A writer appends to the bytes of an upload.
type writer struct {
	c    *receiver
	d    destination
	r    *record // r.Offset bytes are durable
	h    *hold
	sink sink
	sha  hash.Hash // of the first off bytes
	off  int64
}

// openWriter opens the bytes of an upload at its last checkpoint, and reads its record
// again, because another process may have changed it. The error may be errLocked,
// errLost or errNoUpload.
func (c *receiver) openWriter(d destination, h *hold) (*writer, error) {
	s, r, err := d.openBytes(h.id)
	if err != nil {
		return nil, err
	}
	w := &writer{c: c, d: d, r: r, h: h, sink: s}
	if err := w.rollback(); err != nil {
		s.close()
		return nil, err
	}
	return w, nil
}

// rollback discards the bytes after the last checkpoint.
func (w *writer) rollback() error {
	w.off, w.sha = w.r.Offset, sha256.New()
	if err := restore(w.sha, w.r.Hash); err != nil {
		return fmt.Errorf("the record of upload %s is damaged: %w", w.h.id, err)
	}
	return w.sink.discard()
}

// restore sets a hash to a saved state; that of no bytes is empty.
func restore(h hash.Hash, state []byte) error {
	if len(state) == 0 {
		return nil
	}
	return h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
}

// close releases the upload for other processes. Bytes after the last checkpoint are lost.
func (w *writer) close() { w.sink.close() }

// receive appends a chunk. Without a checksum, the bytes before an error are kept; with
// one, a chunk is kept only if it is complete and matches.
func (w *writer) receive(body io.Reader, sum *checksum) error {
	err := w.copy(body, sum)
	if sum != nil && err == nil && !sum.matches() {
		err = errChecksum
	}
	if err != nil && (sum != nil || errors.Is(err, errTooMuch)) {
		return errors.Join(err, w.rollback())
	}
	return errors.Join(err, w.checkpoint())
}

func (w *writer) copy(body io.Reader, sum *checksum) error {
	buf, n := make([]byte, copyBuffer), 0
	for {
		err := w.h.came(n, w.c.idle)
		if err == nil {
			err = w.stay()
		}
		if err != nil {
			return err
		}
		// One extra byte reveals a body that is too long.
		n, err = body.Read(buf[:min(copyBuffer, w.r.Length-w.off+1)])
		if int64(n) > w.r.Length-w.off {
			return errTooMuch
		}
		if n > 0 {
			if werr := w.append(buf[:n], sum); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.broken(err)
		}
	}
}

func (w *writer) append(b []byte, sum *checksum) error {
	n, err := w.sink.write(b)
	w.sha.Write(b[:n])
	w.off += int64(n)
	if err != nil {
		return full(err)
	}
	if sum != nil {
		sum.Write(b)
		return nil
	}
	if !w.sink.due() {
		return nil
	}
	if err := w.checkpoint(); err != nil {
		return err
	}
	if free, err := w.d.free(); err == nil && free < w.c.space.reserve {
		return errFull
	}
	return nil
}

// stay keeps a slow upload from expiring before the next checkpoint updates its record.
func (w *writer) stay() error {
	if t := w.c.retention; time.Since(w.r.UsedAt) < min(t.keep, t.keepEmpty)/4 {
		return nil
	}
	next := *w.r
	next.UsedAt = time.Now()
	if err := w.d.save(&next); err != nil {
		return err
	}
	*w.r = next
	return nil
}

// broken describes why reading a body failed.
func (w *writer) broken(err error) error {
	w.h.mu.Lock()
	why := w.h.why
	w.h.mu.Unlock()
	switch {
	case why != nil:
		return why
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errIdle
	}
	return errCut
}

// checkpoint makes the bytes durable, and then saves the record.
func (w *writer) checkpoint() error {
	if w.off == w.r.Offset {
		return nil
	}
	state, err := w.sha.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	next := *w.r
	next.Offset, next.Hash, next.UsedAt = w.off, state, time.Now()
	if err := w.sink.keep(&next); err != nil {
		return err
	}
	*w.r = next
	return nil
}

// A fileSink takes the bytes of an upload into a folder.
type fileSink struct {
	f         *folder
	file      *os.File
	kept, off int64
}

// openBytes opens the file with the bytes of an upload, and locks it.
func (f *folder) openBytes(id string) (sink, *record, error) {
	file, err := fsx.OpenFileIn(f.dir, part(id), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errLost
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := f.lock(id, file)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return &fileSink{f, file, r.Offset, r.Offset}, r, nil
}

// lock locks the bytes of an upload, and reads its record.
func (f *folder) lock(id string, file *os.File) (*record, error) {
	if !fsx.TryLock(file) {
		return nil, errLocked
	}
	r, err := f.load(id)
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	if err == nil && st.Size() < r.Offset {
		err = errLost
	}
	return r, err
}

func (s *fileSink) write(b []byte) (n int, err error) {
	n, err = s.file.WriteAt(b, s.off)
	s.off += int64(n)
	return n, err
}

func (s *fileSink) due() bool { return s.off-s.kept >= checkpointBytes }

func (s *fileSink) keep(next *record) error {
	if err := s.file.Sync(); err != nil {
		return full(err)
	}
	if err := s.f.save(next); err != nil {
		return err
	}
	s.kept = next.Offset
	return nil
}

func (s *fileSink) discard() error {
	s.off = s.kept
	return s.file.Truncate(s.kept)
}

func (s *fileSink) close() { s.file.Close() }
