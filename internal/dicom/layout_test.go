package dicom

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// TestLayout checks that a file has the size that was known before, whatever its frames are.
func TestLayout(t *testing.T) {
	t.Parallel()
	s := write(t, philips)
	for _, o := range []Options{everything(), {ID: "im1", Deidentify: true, Key: "x"}, {ID: "im1", Sparse: true}} {
		for _, in := range newSeries(t, s, o).Instances {
			for _, loose := range []bool{false, true} {
				in.loose = loose // then the frames are measured
				f, err := in.NewLayout(t.Context(), pieces(t, in))
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := f.WriteTo(&b, pieces(t, in), nil); err != nil || int64(b.Len()) != f.Size {
					t.Errorf("%s: %d bytes instead of %d: %v", in.UID, b.Len(), f.Size, err)
				}
			}
		}
	}
}

// TestShorterFrame has a frame that is shorter than the tables of the slide say, and one that
// does not fit any more.
func TestShorterFrame(t *testing.T) {
	t.Parallel()
	in := newSeries(t, write(t, philips), everything()).Instances[0]
	f, err := in.NewLayout(t.Context(), pieces(t, in))
	if err != nil {
		t.Fatal(err)
	}
	resized := func(by int) FrameReader {
		return func(dst []byte, n int) ([]byte, error) {
			b, err := in.AppendFrame(t.Context(), nil, n)
			if n == 3 {
				b = append(b, make([]byte, max(by, 0))...)[:len(b)+by]
			}
			return append(dst, b...), err
		}
	}
	var b bytes.Buffer
	if err := f.WriteTo(&b, resized(-2), nil); err != nil || int64(b.Len()) != f.Size {
		t.Errorf("shorter: %d bytes instead of %d: %v", b.Len(), f.Size, err)
	}
	if err := f.WriteTo(&b, resized(4), nil); err == nil {
		t.Error("a frame that does not fit was written")
	}
	stop := errors.New("stop")
	if err := f.WriteTo(&b, pieces(t, in), func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want %v", err, stop)
	}
}

// TestExtendedTable finds frames beyond 4 GiB in a file with holes.
func TestExtendedTable(t *testing.T) {
	t.Parallel()
	in := newSeries(t, write(t, philips), everything()).Instances[0]
	f := &Layout{in: in, frames: make([]uint32, 0, in.Frames())}
	for range in.Frames() { // 54 of 96 MB each
		f.frames = append(f.frames, 96<<20+1)
	}
	f.head = f.appendTable(in.head())
	file, err := os.Create(filepath.Join(t.TempDir(), "large.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	put := func(b []byte, at int64) int64 {
		t.Helper()
		if _, err := file.WriteAt(b, at); err != nil {
			t.Skipf("the file system has no files of this size: %v", err)
		}
		return at + int64(len(b))
	}
	at := put(f.head, 0)
	for n, size := range f.frames {
		at = put(appendItem(nil, even(size)), at)
		put([]byte{0xff, 0xd8, byte(n)}, at)
		at += even(size)
	}
	size := put([]byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}, at)
	d, err := Read(file, size)
	if err != nil {
		t.Fatal(err)
	}
	values := func(e Extent) (list []uint64) {
		b := make([]byte, e.Length)
		if _, err := file.ReadAt(b, e.Offset); err != nil {
			t.Fatal(err)
		}
		for ; len(b) > 0; b = b[8:] {
			list = append(list, binary.LittleEndian.Uint64(b))
		}
		return list
	}
	offsets, lengths := values(d.ExtendedOffsets), values(d.ExtendedLengths)
	for n := range f.frames {
		var b [itemHeader + 3]byte
		if _, err := file.ReadAt(b[:], int64(len(f.head))+int64(offsets[n])); err != nil || [3]byte(b[8:]) != [3]byte{0xff, 0xd8, byte(n)} || lengths[n] != 96<<20+1 {
			t.Errorf("frame %d of %d bytes at %d: % x, %v", n, lengths[n], offsets[n], b, err)
		}
	}
	if offsets[len(offsets)-1] < 1<<32 {
		t.Error("no frame lies beyond 4 GiB")
	}
}

// TestSparse finds the tile of each frame by its position.
func TestSparse(t *testing.T) {
	t.Parallel()
	s := write(t, philips)
	sparse, full := newSeries(t, s, Options{ID: "x", Sparse: true}), newSeries(t, s, Options{ID: "x"})
	in, all := sparse.Instances[0], full.Instances[0]
	if in.Frames() >= all.Frames() {
		t.Fatalf("%d frames of %d tiles", in.Frames(), all.Frames())
	}
	dir := t.TempDir()
	if err := sparse.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, in.UID+".dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read(file, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p, err := range d.Positions(file, fi.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		frame, err := in.AppendFrame(t.Context(), nil, n)
		if err != nil {
			t.Fatal(err)
		}
		tile, err := s.AppendTile(nil, 0, int(p.Column)/128, int(p.Row)/128)
		if err != nil || !bytes.Equal(frame, tile) {
			t.Errorf("frame %d is not the tile at %d,%d: %v", n, p.Column, p.Row, err)
		}
		n++
	}
	if n != in.Frames() {
		t.Errorf("%d positions of %d frames", n, in.Frames())
	}
}

// TestAnonymousFrames checks that the frames of a de-identified export have no comments, and
// the same pixels.
func TestAnonymousFrames(t *testing.T) {
	t.Parallel()
	const comment = "patient 4711"
	var encoded bytes.Buffer
	if err := stdjpeg.Encode(&encoded, image.NewYCbCr(image.Rect(0, 0, 128, 128), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	stored := "\xff\xd8\xff\xfe\x00\x0e" + comment + encoded.String()[2:]
	s, err := slide.New(slide.Pyramid{
		Format: "pyramid", TileSize: 128, Zooms: 2, Bounds: image.Rect(0, 0, 200, 200), MPPX: 0.5, MPPY: 0.5,
		AppendTile: func(dst []byte, _, _, _ int) ([]byte, error) { return append(dst, stored...), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	named, anonymous := newSeries(t, s, everything()).Instances[0], newSeries(t, s, Options{ID: "im1", Deidentify: true, Key: "x"}).Instances[0]
	for n := range named.Frames() {
		a, err := named.AppendFrame(t.Context(), nil, n)
		if err != nil {
			t.Fatal(err)
		}
		b, err := anonymous.AppendFrame(t.Context(), nil, n)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && !bytes.Contains(a, []byte(comment)) {
			t.Fatal("the slide has no comments")
		}
		if bytes.Contains(b, []byte(comment)) {
			t.Errorf("frame %d has the comment", n)
		}
		if diff := cmp.Diff(pixelsOf(t, a), pixelsOf(t, b)); diff != "" {
			t.Errorf("frame %d: %s", n, diff)
		}
	}
}

// pixelsOf returns the size and a hash of the compressed pixels of a JPEG.
func pixelsOf(t *testing.T, data []byte) any {
	t.Helper()
	h, err := jpeg.ParseHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	return struct {
		Size image.Point
		Sum  [32]byte
	}{image.Pt(h.Width, h.Height), sha256.Sum256(data[h.Body:])}
}

// pieces returns the reader of an instance.
func pieces(t *testing.T, in *Instance) FrameReader {
	return func(dst []byte, n int) ([]byte, error) { return in.AppendPiece(t.Context(), dst, n) }
}
