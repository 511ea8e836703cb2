package mongodump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxDocument is the maximum size of a document in MongoDB, and what servers add to it.
const maxDocument = 16<<20 + 16<<10

// A DamageError reports where a file of a dump is damaged. What stands before is intact.
type DamageError struct {
	Offset int64  // of the first document that cannot be read
	Reason string // a clause
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the file is damaged: %s (document at byte %d)", e.Reason, e.Offset)
}

// documents reads the documents of a file, one after the other.
type documents struct {
	in     *bufio.Reader
	size   int64 // of the file; -1 if unknown
	offset int64 // of the next document
	buf    []byte
}

func newDocuments(in io.Reader, size int64) *documents {
	return &documents{in: bufio.NewReaderSize(in, 1<<20), size: size}
}

// next returns the next document, which is valid until the call after it, and its offset.
// At the end the error is [io.EOF]. A [DamageError] reports what is not a document.
func (d *documents) next() (doc bson.Raw, offset int64, err error) {
	offset = d.offset
	head, err := d.in.Peek(4)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		return nil, offset, io.EOF
	}
	if err != nil {
		return nil, offset, d.damage(err)
	}
	n := int64(binary.LittleEndian.Uint32(head))
	switch {
	case n < 5 || n > maxDocument:
		return nil, offset, &DamageError{offset, fmt.Sprintf("a document of %d bytes cannot be", n)}
	case d.size >= 0 && n > d.size-offset: // before memory is allocated
		return nil, offset, &DamageError{offset, "it ends within a document"}
	}
	if int64(cap(d.buf)) < n {
		d.buf = make([]byte, n, min(2*n, maxDocument))
	}
	d.buf = d.buf[:n:n]
	if _, err := io.ReadFull(d.in, d.buf); err != nil {
		return nil, offset, d.damage(err)
	}
	d.offset += n
	if d.buf[n-1] != 0 {
		return nil, offset, &DamageError{offset, "a document does not end with a zero byte"}
	}
	return d.buf, offset, nil
}

// damage returns the error of a file that ends or cannot be decompressed. Errors of the
// system are returned as they are.
func (d *documents) damage(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamageError{d.offset, "it ends within a document"}
	}
	if isGzip(err) {
		return &DamageError{d.offset, "it cannot be decompressed"}
	}
	return err
}
