package dicom

import (
	"bytes"
	"errors"
	"io"
)

// sameBlock is how much of two files is compared at a time.
const sameBlock = 256 << 10

// SameData reports whether another file has the same data set in the same transfer syntax as f,
// which was read from r. The file meta information may differ: it names the program that wrote
// the file. A file that is not DICOM, or is damaged, has not.
func (f *File) SameData(r io.ReaderAt, size int64, other io.ReaderAt, otherSize int64) (bool, error) {
	o, err := Read(other, otherSize)
	if err != nil {
		return false, nil //nolint:nilerr // another program's file, or a damaged one
	}
	n := size - f.DataOffset
	if o.TransferSyntax != f.TransferSyntax || otherSize-o.DataOffset != n {
		return false, nil
	}
	return equal(io.NewSectionReader(r, f.DataOffset, n), io.NewSectionReader(other, o.DataOffset, n))
}

// equal compares readers of the same length.
func equal(a, b io.Reader) (bool, error) {
	x, y := make([]byte, sameBlock), make([]byte, sameBlock)
	for {
		n, err := io.ReadFull(a, x)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if _, err := io.ReadFull(b, y[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
	}
}
