package structure_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/structure"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// A reader counts reads.
type reader struct {
	*bytes.Reader
	reads int
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	r.reads++
	return r.Reader.ReadAt(p, off)
}

// TestRecord stores the record of a slide, and opens the slide with it: a tile costs one read.
// Rows that are damaged, gone or cannot be read cost reads, not tiles.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slide.tiff")
	if _, err := (synth.Philips{Seed: 1, Width: 500, Height: 375, TileSize: 64, Label: true, Macro: true, AssociatedIn: synth.InXML, MPPX: 1, MPPY: 1}).Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.AppendTile(nil, 0, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	store, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: "/slides"})
	if err != nil {
		t.Fatal(err)
	}
	im := &catalog.Image{StoreID: store.ID, Path: "a", Revision: "r", State: catalog.Available}
	if err := c.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
		t.Fatal(err)
	}
	if _, err := structure.Find(t.Context(), c.Structures, im.ID, "r"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("before it was stored: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(st *catalog.Structure)
		reads  int
		err    error
	}{
		{"complete", func(*catalog.Structure) {}, 1, nil},
		{"no tables", func(st *catalog.Structure) { st.Levels = nil }, 3, nil},
		{"damaged table", func(st *catalog.Structure) { st.Levels[0][9] ^= 1 }, 3, nil},
		{"table is not compressed", func(st *catalog.Structure) { st.Levels[0] = []byte("table") }, 3, nil},
		{"damaged record", func(st *catalog.Structure) { st.Record[len(st.Record)/2] ^= 1 }, 0, slide.ErrStructure},
		{"record is not compressed", func(st *catalog.Structure) { st.Record = []byte("record") }, 0, slide.ErrStructure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, err := structure.Of(s, []byte("token"))
			if err != nil {
				t.Fatal(err)
			}
			st.Revision = "r"
			tt.change(st)
			if err := c.Structures.Put(t.Context(), im.ID, st); err != nil {
				t.Fatal(err)
			}
			r := &reader{Reader: bytes.NewReader(b)}
			found, err := structure.Find(t.Context(), c.Structures, im.ID, "r")
			if err == nil {
				s, err = found.Open(r, int64(len(b)))
			}
			if !errors.Is(err, tt.err) {
				t.Fatalf("opened: %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			got, err := s.AppendTile(nil, 0, 3, 2)
			if err != nil || !bytes.Equal(got, want) || r.reads != tt.reads || string(found.Token) != "token" {
				t.Errorf("%d bytes, %v, %d reads, want %d; token %q", len(got), err, r.reads, tt.reads, found.Token)
			}
		})
	}
}
