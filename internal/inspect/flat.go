package inspect

import (
	"bytes"
	"errors"
	"io"
)

// pictureTail is how far from the end of a file, in bytes, the last marker of an image
// is searched for: cameras append data of their own.
const pictureTail = 64 << 10

// inspectFlat inspects a PNG or JPEG, which is not a slide, and reports whether it is
// complete; ok is false for other files.
func inspectFlat(r io.ReaderAt, size int64) (found Inspection, ok bool) {
	head := make([]byte, 8)
	if n, _ := r.ReadAt(head, 0); n < len(head) {
		return found, false
	}
	var kind string
	var end []byte
	switch {
	case bytes.Equal(head, []byte("\x89PNG\r\n\x1a\n")):
		kind, end = "PNG", []byte("IEND\xaeB`\x82")
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		kind, end = "JPEG", []byte("\xff\xd9")
	default:
		return found, false
	}
	tail := make([]byte, min(size, pictureTail))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return ReadError(err), true
	}
	if !bytes.Contains(tail, end) {
		return Inspection{Kind: Damaged, Reason: "it is a " + kind + " image that ends early"}, true
	}
	return Inspection{Kind: Unsupported, Reason: "it is a " + kind + " image, not a pyramid"}, true
}
