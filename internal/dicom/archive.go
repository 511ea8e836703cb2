package dicom

import (
	"archive/zip"
	"context"
	"io"
	"math"
	"time"
)

// An Archive is a series as a ZIP file in which the files of the instances are stored. Its size
// is known before the frames are read, so that it can be sent while they are.
type Archive struct {
	Size int64

	series *Series
	files  []*Layout
}

// NewArchive returns the archive of a series. It reads what [Instance.NewLayout] does.
func (d *Series) NewArchive(ctx context.Context) (*Archive, error) {
	a := &Archive{series: d}
	for _, in := range d.Instances {
		f, err := in.NewLayout(ctx, func(dst []byte, n int) ([]byte, error) { return in.AppendPiece(ctx, dst, n) })
		if err != nil {
			return nil, err
		}
		a.files = append(a.files, f)
	}
	a.Size = a.size()
	return a, nil
}

// name returns the name of a file in the archive.
func (a *Archive) name(f *Layout) string { return a.series.UID + "/" + f.in.UID + ".dcm" }

// modified is the time of the files in an archive: the same series has the same archive.
var modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// size returns the size of the archive as package archive/zip writes it (APPNOTE.TXT of PKWARE,
// sections 4.3 and 4.5.3).
func (a *Archive) size() int64 {
	const (
		local, descriptor, largeDescriptor = 30, 16, 24
		directory, largeEntry              = 46, 28
		end, largeEnd                      = 22, 56 + 20
		timestamp                          = 9
	)
	large := func(n int64) bool { return n >= math.MaxUint32 }
	at, entries := int64(0), int64(0)
	for _, f := range a.files {
		head := int64(len(a.name(f)) + timestamp)
		entries += directory + head
		if large(f.Size) || large(at) {
			entries += largeEntry
		}
		at += local + head + f.Size + descriptor
		if large(f.Size) {
			at += largeDescriptor - descriptor
		}
	}
	if large(at) || large(entries) {
		return at + entries + end + largeEnd
	}
	return at + entries + end
}

// WriteTo writes the archive: exactly Size bytes unless there is an error. Piece appends a piece
// of an instance to dst, as [Instance.AppendPieceOf] does. Errors are those of [Layout.WriteTo].
func (a *Archive) WriteTo(w io.Writer, piece func(in *Instance, dst []byte, n int) ([]byte, error)) error {
	z := zip.NewWriter(w)
	for _, f := range a.files {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: a.name(f), Method: zip.Store, Modified: modified})
		if err != nil {
			return err
		}
		err = f.WriteTo(entry, func(dst []byte, n int) ([]byte, error) { return piece(f.in, dst, n) }, nil)
		if err != nil {
			return err
		}
	}
	return z.Close()
}
