package dicom

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// inOrder appends frames of the slide that the series was made of.
func inOrder(in *Instance, dst []byte, n int) ([]byte, error) {
	return in.AppendPiece(context.Background(), dst, n)
}

// TestArchive compares the files of an archive with an export.
func TestArchive(t *testing.T) {
	t.Parallel()
	d, dir := newSeries(t, write(t, philips), everything()), t.TempDir()
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	a, err := d.NewArchive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := a.WriteTo(&b, inOrder); err != nil || int64(b.Len()) != a.Size {
		t.Fatalf("%d bytes instead of %d: %v", b.Len(), a.Size, err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), a.Size)
	if err != nil || len(z.File) != len(d.Instances) {
		t.Fatal(err, len(z.File))
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(dir, filepath.Base(f.Name)))
		if err != nil || !bytes.Equal(got, want) || filepath.Dir(f.Name) != d.UID {
			t.Errorf("%s is not the exported file: %v", f.Name, err)
		}
	}
}

// TestLargeArchive checks the size of an archive with a file beyond 4 GiB.
func TestLargeArchive(t *testing.T) {
	t.Parallel()
	d := newSeries(t, write(t, philips), everything())
	a := &Archive{series: d}
	for i, in := range d.Instances {
		f := &Layout{in: in, head: []byte{0}, frames: []uint32{4}}
		if i == 1 {
			f.frames = nil
			for range 70 {
				f.frames = append(f.frames, 64<<20)
			}
		}
		f.Size = 1 + itemsEnd
		for _, n := range f.frames {
			f.Size += itemHeader + even(n)
		}
		a.files = append(a.files, f)
	}
	a.Size = a.size()
	frame := make([]byte, 64<<20)
	n := count(0)
	err := a.WriteTo(&n, func(in *Instance, dst []byte, i int) ([]byte, error) {
		if in == d.Instances[1] {
			return append(dst, frame...), nil
		}
		return append(dst, frame[:4]...), nil
	})
	if err != nil || int64(n) != a.Size || a.Size < 4<<30 {
		t.Errorf("%d bytes instead of %d: %v", n, a.Size, err)
	}
}

// count counts what is written.
type count int64

func (n *count) Write(b []byte) (int, error) {
	*n += count(len(b))
	return len(b), nil
}
