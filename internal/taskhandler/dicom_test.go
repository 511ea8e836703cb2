package taskhandler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// TestExportTask exports an image, again after one of its files is gone, and with label.
func TestExportTask(t *testing.T) {
	t.Parallel()
	dir, exports := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "a.tiff")
	if _, err := (synth.Philips{Width: 600, Height: 400, TileSize: 128, Label: true, Macro: true}).Write(path); err != nil {
		t.Fatal(err)
	}
	identity, err := fsx.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	c := catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	if _, err := c.Stores.Put(t.Context(), catalog.Store{ID: "s", Label: "s", Mode: catalog.InPlace, Root: dir}); err != nil {
		t.Fatal(err)
	}
	im := &catalog.Image{ID: catalog.NewID(), StoreID: "s", Path: "a.tiff", State: catalog.Available, Revision: "r", Identity: identity}
	if err := c.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
		t.Fatal(err)
	}
	tiles := tile.New(tile.Options{})
	defer tiles.Close()
	tiles.Put(tile.File{ID: im.ID, Store: &tile.Store{ID: "s", Root: dir}, Path: "a.tiff", Revision: "r", Identity: identity})
	h := &Handlers{Catalog: c, Tiles: tiles}
	run := func(more string) (Exported, error) {
		t.Helper()
		for _, k := range h.Kinds() {
			if k.Name == task.ExportDICOM {
				r, err := k.Run(t.Context(), &task.Task{Kind: k.Name, Args: json.RawMessage(`{"store":"s","image":"` + im.ID + `"` + more + `}`)})
				e, _ := r.(Exported)
				return e, err
			}
		}
		t.Fatal("there is no such kind")
		return Exported{}, nil
	}
	if _, err := run(""); err == nil || !strings.Contains(err.Error(), "export_folder") {
		t.Errorf("without a folder for exports: %v", err)
	}
	h.Exports = exports
	first, err := run("")
	if err != nil {
		t.Fatal(err)
	}
	files := func(e Exported) []string {
		list, err := filepath.Glob(filepath.Join(exports, e.Series, "*.dcm"))
		if err != nil || len(list) != e.Instances {
			t.Errorf("%d files of %d: %v", len(list), e.Instances, err)
		}
		return list
	}
	list := files(first)
	if err := os.Remove(list[0]); err != nil {
		t.Fatal(err)
	}
	if again, err := run(""); err != nil || again != first || len(files(again)) != len(list) {
		t.Errorf("again: %v, %v", again, err)
	}
	if hidden, err := run(`,"deidentify":true`); err != nil || hidden.Series == first.Series || len(files(hidden)) != len(list) {
		t.Errorf("de-identified: %v, %v", hidden, err)
	}
	if _, err := run(`,"deidentify":true,"labels":true`); err == nil {
		t.Error("a de-identified export with labels")
	}
}
