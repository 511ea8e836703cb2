package source

import (
	"container/list"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

const (
	// objectBlock is how many bytes of an object are read at a time, aligned: opening a slide
	// of Philips then takes 13 requests instead of 38.
	objectBlock = 256 << 10
	// objectBlocks is how many blocks of all open objects are kept: 32 MB.
	objectBlocks = 128
)

// An openObject is an open object of a bucket. What it reads is of the object that was opened:
// otherwise the error is [ErrChanged].
type openObject struct {
	of       *objects
	bucket   *bucket.Bucket
	key      string
	identity bucket.Identity
	id       fsx.Identity
	changed  atomic.Bool             // a read has found another object
	blocks   map[int64]*list.Element // by number; guarded by the lock of recentBlocks
}

// Identity returns the identity of the object when it was opened.
func (f *openObject) Identity() fsx.Identity { return f.id }

// Current returns the identity of the object that has the key now.
func (f *openObject) Current() (fsx.Identity, error) { return f.of.Identify(f.key) }

// current reports whether a read has found another object. It sends no request.
func (f *openObject) current() error {
	if f.changed.Load() {
		return ErrChanged
	}
	return nil
}

// Close forgets the blocks.
func (f *openObject) Close() error {
	recentBlocks.drop(f)
	return nil
}

// ReadAt reads in blocks, which are kept, or with one request if p is longer than a block.
func (f *openObject) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= f.id.Size {
		return 0, io.EOF
	}
	if int64(len(p)) > f.id.Size-off {
		p, err = p[:f.id.Size-off], io.EOF
	}
	if len(p) > objectBlock {
		if err := f.read(p, off); err != nil {
			return 0, err
		}
		return len(p), err
	}
	for n < len(p) {
		at := off + int64(n)
		b, err := f.block(at / objectBlock)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[at%objectBlock:])
	}
	return n, err
}

// block returns a block, which is read once for all that wait for it.
func (f *openObject) block(number int64) ([]byte, error) {
	b, first := recentBlocks.take(f, number)
	if !first {
		<-b.done
		return b.data, b.err
	}
	off := number * objectBlock
	data := make([]byte, min(objectBlock, f.id.Size-off))
	if b.err = f.read(data, off); b.err == nil {
		b.data = data
	} else {
		recentBlocks.forget(b)
	}
	close(b.done)
	return b.data, b.err
}

// read reads from the bucket.
func (f *openObject) read(p []byte, off int64) error {
	return f.readRange(context.Background(), p, off)
}

// readRange reads from the bucket.
func (f *openObject) readRange(ctx context.Context, p []byte, off int64) error {
	if f.changed.Load() {
		return ErrChanged
	}
	err := bucketError(ctx, f.bucket.ReadAt(ctx, f.key, f.identity, p, off))
	if errors.Is(err, ErrChanged) {
		f.changed.Store(true)
	}
	return err
}

// isDICOM reports whether the object has the header of a DICOM file.
func (f *openObject) isDICOM() bool {
	head := make([]byte, 132)
	n, _ := f.ReadAt(head, 0)
	return dicom.IsDICOM(head[:n])
}

// A block is a part of an open object.
type block struct {
	of     *openObject
	number int64
	done   chan struct{} // closed with data or err set
	data   []byte
	err    error
}

// A blockList keeps the blocks that were used last.
type blockList struct {
	mu     sync.Mutex
	recent list.List // of *block, the most recently used first
}

// recentBlocks are those of all objects that this process has open, so that their number does
// not grow with that of open slides.
var recentBlocks blockList

// take returns a block of an object. The caller reads it if it is the first.
func (l *blockList) take(f *openObject, number int64) (b *block, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := f.blocks[number]; e != nil {
		l.recent.MoveToFront(e)
		return e.Value.(*block), false
	}
	b = &block{of: f, number: number, done: make(chan struct{})}
	f.blocks[number] = l.recent.PushFront(b)
	for l.recent.Len() > objectBlocks {
		l.remove(l.recent.Back())
	}
	return b, true
}

// remove removes a block. The caller must hold mu.
func (l *blockList) remove(e *list.Element) {
	b := l.recent.Remove(e).(*block)
	delete(b.of.blocks, b.number)
}

// forget removes a block that could not be read.
func (l *blockList) forget(b *block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := b.of.blocks[b.number]; e != nil && e.Value == b {
		l.remove(e)
	}
}

// drop removes the blocks of an object.
func (l *blockList) drop(f *openObject) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range f.blocks {
		l.remove(e)
	}
}
