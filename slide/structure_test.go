package slide

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// levelsOf returns the tile tables of a record.
func levelsOf(st Structure) func(int) ([]byte, error) {
	return func(level int) ([]byte, error) { return st.Levels[level], nil }
}

// CompareStructure opens a file, and opens it once more from its structure record: both must
// give the same answers to everything, and the record costs no read.
func CompareStructure(t testing.TB, b []byte) {
	t.Helper()
	s, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	st, err := s.Structure()
	if err != nil {
		if loads(s) == nil {
			t.Errorf("Structure: %v", err)
		}
		return
	}
	r := &countingReader{r: bytes.NewReader(b)}
	o, err := OpenStructure(st.Record, levelsOf(st), r, int64(len(b)))
	if err != nil {
		t.Errorf("OpenStructure: %v", err)
		return
	}
	if n := r.reads.Load(); n != 0 {
		t.Errorf("%d reads to open it from %d bytes", n, len(st.Record))
	}
	if n := longestBase64(st.Record); n >= longText {
		t.Errorf("the record has %d characters of base64", n)
	}
	if diff := cmp.Diff(describedSlide(s), describedSlide(o)); diff != "" {
		t.Errorf("the slide (-file +record):\n%s", diff)
	}
	compareTiles(t, s, o, r)
	if diff := cmp.Diff(readEverything(s), readEverything(o)); diff != "" {
		t.Errorf("what was read (-file +record):\n%s", diff)
	}
}

// loads loads the tile tables of all levels.
func loads(s *Slide) error {
	var errs []error
	for i, src := range s.sources {
		_, err := s.load(src, &s.Levels[i].Layout)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func longestBase64(b []byte) (most int) {
	n := 0
	for _, c := range b {
		if n++; !base64Char[c] {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// describedSlide returns the exported fields of a slide.
func describedSlide(s *Slide) map[string]any {
	all := map[string]any{}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			all[f.Name] = v.Field(i).Interface()
		}
	}
	return all
}

// compareTiles compares all tiles of two slides, of which o reads from r.
func compareTiles(t testing.TB, s, o *Slide, r *countingReader) {
	t.Helper()
	tiles := 0
	for level := range s.Levels {
		l := &s.Levels[level]
		for row := range l.Rows {
			for col := range l.Columns {
				if tiles++; tiles > 3000 {
					return
				}
				compareTile(t, s, o, r, level, col, row)
			}
		}
	}
	for _, at := range [][3]int{{-1, 0, 0}, {len(s.Levels), 0, 0}, {0, -1, 0}, {0, 0, s.Levels[0].Rows}} {
		if _, err := o.Extent(at[0], at[1], at[2]); err != ErrNoTile {
			t.Errorf("extent of %v: %v", at, err)
		}
	}
}

func compareTile(t testing.TB, s, o *Slide, r *countingReader, level, col, row int) {
	t.Helper()
	want, wantErr := s.AppendTile([]byte("x"), level, col, row)
	before := r.reads.Load()
	got, err := o.AppendTile([]byte("x"), level, col, row)
	reads := r.reads.Load() - before
	if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("level %d tile %d,%d: %d bytes, %v; want %d, %v", level, col, row, len(got), err, len(want), wantErr)
	}
	if err == nil && reads != int64(s.Levels[level].Layout.Planes()) {
		t.Errorf("level %d tile %d,%d: %d reads", level, col, row, reads)
	}
	if a, b := s.TileBytes(level, col, row), o.TileBytes(level, col, row); a != b {
		t.Errorf("level %d tile %d,%d: TileBytes %d, want %d", level, col, row, b, a)
	}
	for _, c := range []*Slide{s, o} {
		finished, err := finishTile(c, level, col, row)
		if s.Levels[level].Layout.Planes() > 1 && errors.Is(err, ErrNoExtent) {
			continue
		}
		if !bytes.Equal(finished, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("level %d tile %d,%d, Finish: %d bytes, %v; want %d, %v", level, col, row, len(finished), err, len(want), wantErr)
		}
	}
}

// finishTile reads a tile by its extent.
func finishTile(s *Slide, level, col, row int) ([]byte, error) {
	dst := []byte("x")
	e, err := s.Extent(level, col, row)
	if err != nil {
		return dst, err
	}
	raw := make([]byte, e.Size)
	if _, err := s.r.ReadAt(raw, e.Offset); err != nil {
		return dst, err
	}
	kept := bytes.Clone(raw)
	dst, err = s.Finish(dst, raw, level, col, row)
	if !bytes.Equal(raw, kept) {
		return nil, errors.New("Finish changed the bytes it was given")
	}
	return dst, err
}

// readEverything returns what a slide has besides its tiles.
func readEverything(s *Slide) map[string]any {
	all := map[string]any{"kinds": s.Associated(), "check": fmt.Sprint(s.Check())}
	sum, err := s.Fingerprint()
	all["fingerprint"] = fmt.Sprint(sum, err)
	icc, err := s.ICC()
	all["icc"] = fmt.Sprintf("%x, %v", sha256.Sum256(icc), err)
	for _, kind := range append(s.Associated(), "absent") {
		a, err := s.ReadAssociated(kind)
		icc, iccErr := s.AssociatedICC(kind)
		all[kind] = fmt.Sprintf("%v, %d, %x, %v", err, s.AssociatedCost(kind), sha256.Sum256(icc), iccErr)
		if err == nil {
			strips := sha256.Sum256(bytes.Join(a.Strips, nil))
			a.Strips = nil
			all[kind+" image"] = fmt.Sprintf("%x, %+v", strips, *a)
		}
	}
	return all
}

// TestStructure compares the peculiar files of this package's tests.
func TestStructure(t *testing.T) {
	for name, b := range OracleFiles() {
		t.Run(name, func(t *testing.T) { CompareStructure(t, b) })
	}
}

// TestStructureOfData compares files of other programs.
func TestStructureOfData(t *testing.T) {
	for _, dir := range []string{"real", "philips-synthetic", "tiff-odd", "tiff-damaged"} {
		t.Run(dir, func(t *testing.T) {
			err := filepath.WalkDir(testData(t, dir), func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				b, err := os.ReadFile(path)
				if err == nil && len(b) < 64<<20 {
					t.Run(filepath.Base(path), func(t *testing.T) { CompareStructure(t, b) })
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestStructureRows opens a slide whose tables are gone or damaged: they are read from the file.
func TestStructureRows(t *testing.T) {
	b := OracleFiles()["philips"]
	s, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Structure()
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.AppendTile(nil, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("the database is down")
	for name, tt := range map[string]struct {
		level func(int) ([]byte, error)
		reads int64
		err   error
	}{
		"complete":      {levelsOf(st), 1, nil},
		"gone":          {func(int) ([]byte, error) { return nil, nil }, 3, nil},
		"of another":    {func(int) ([]byte, error) { return st.Levels[1], nil }, 3, nil},
		"damaged":       {func(int) ([]byte, error) { return append(bytes.Clone(st.Levels[0]), 0), nil }, 3, nil},
		"not available": {func(int) ([]byte, error) { return nil, down }, 0, down},
	} {
		t.Run(name, func(t *testing.T) {
			r := &countingReader{r: bytes.NewReader(b)}
			o, err := OpenStructure(st.Record, tt.level, r, int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.AppendTile(nil, 0, 1, 1)
			if !errors.Is(err, tt.err) || err == nil && !bytes.Equal(got, want) || r.reads.Load() != tt.reads {
				t.Errorf("%d bytes, %v, %d reads; want %v and %d reads", len(got), err, r.reads.Load(), tt.err, tt.reads)
			}
		})
	}
}

// TestStructureRefused changes and cuts a record in many places.
func TestStructureRefused(t *testing.T) {
	b := OracleFiles()["philips"]
	s, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Structure()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, record []byte, size int64) {
		t.Helper()
		if _, err := OpenStructure(record, levelsOf(st), bytes.NewReader(b), size); !errors.Is(err, ErrStructure) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("of another size", st.Record, int64(len(b))+1)
	for i := 0; i < len(st.Record); i += 7 {
		refused(fmt.Sprintf("cut to %d bytes", i), st.Record[:i], int64(len(b)))
		changed := bytes.Clone(st.Record)
		changed[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), changed, int64(len(b)))
		if i != len(st.Record)-4 {
			refused(fmt.Sprintf("sealed, cut to %d bytes", i), sealed(st.Record[:i]), int64(len(b)))
		}
	}
}

// sealed gives a record the right checksum.
func sealed(record []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(record), crc32.Checksum(record, castagnoli))
}

// TestNoStructure asks for the structure of slides that have none.
func TestNoStructure(t *testing.T) {
	s, err := New(Pyramid{TileSize: 256, Zooms: 2, Bounds: image.Rect(0, 0, 300, 300)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Structure(); !isUnsupported(err) {
		t.Errorf("%v", err)
	}
	if _, err := s.Extent(0, 0, 0); err != ErrNoExtent {
		t.Errorf("Extent: %v", err)
	}
	if _, err := s.Finish(nil, nil, 0, 0, 0); err != ErrNoExtent {
		t.Errorf("Finish: %v", err)
	}
}

func isUnsupported(err error) bool {
	_, ok := errors.AsType[*tiff.UnsupportedError](err)
	return ok
}

// TestReadExtents reads tiles through a function.
func TestReadExtents(t *testing.T) {
	for name, b := range OracleFiles() {
		s, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		o, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		o.ReadExtents(func(level, col, row int, e Extent) ([]byte, error) {
			if calls++; calls%5 == 0 {
				return nil, ErrStructure
			}
			return b[e.Offset:e.End()], nil
		})
		for level := range s.Levels {
			for row := range s.Levels[level].Rows {
				for col := range s.Levels[level].Columns {
					want, wantErr := s.AppendTile(nil, level, col, row)
					got, err := o.AppendTile(nil, level, col, row)
					if errors.Is(err, ErrStructure) {
						continue
					}
					if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
						t.Fatalf("%s: level %d tile %d,%d: %d bytes, %v; want %d, %v", name, level, col, row, len(got), err, len(want), wantErr)
					}
				}
			}
		}
		if calls == 0 && s.Levels[0].Layout.Planes() == 1 {
			t.Errorf("%s: it was not called", name)
		}
	}
}

// FuzzStructure opens its input as a record, and uses the slide. The checksum is made right.
func FuzzStructure(f *testing.F) {
	const size = 1 << 20
	for _, name := range []string{"philips", "philips BigTIFF", "philips pictures in XML", "generic"} {
		b := OracleFiles()[name]
		s, err := Open(bytes.NewReader(append(b, make([]byte, size-len(b))...)), size)
		if err != nil {
			f.Fatal(err)
		}
		st, err := s.Structure()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(st.Record[:len(st.Record)-4], st.Levels[0])
	}
	file := make([]byte, size)
	f.Fuzz(func(t *testing.T, record, level []byte) {
		s, err := OpenStructure(sealed(record), func(int) ([]byte, error) { return level, nil }, bytes.NewReader(file), size)
		if err != nil {
			if !errors.Is(err, ErrStructure) {
				t.Fatal(err)
			}
			return
		}
		for i := range s.Levels {
			if e, err := s.Extent(i, 0, 0); err == nil && (e.Size < 1 || e.Offset < 0 || e.End() > size) {
				t.Fatalf("extent %+v", e)
			}
			_, _ = s.AppendTile(nil, i, 0, 0)
		}
		_ = s.Check()
		for _, kind := range s.Associated() {
			_, _ = s.ReadAssociated(kind)
		}
	})
}
