package scan

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// BenchmarkUnchanged measures a scan of 100,000 known and unchanged files in a hundred
// folders: with the mirror in memory, as in a server, and reading the database first,
// as in a command.
func BenchmarkUnchanged(b *testing.B) {
	const folders, each = 100, 1000
	dir := b.TempDir()
	c, err := catalog.Open(b.Context(), "sqlite:"+filepath.Join(dir, "catalog.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	root := filepath.Join(dir, "slides")
	st, err := c.Stores.Put(b.Context(), catalog.Store{Mode: catalog.InPlace, Root: root})
	if err != nil {
		b.Fatal(err)
	}
	for i := range folders {
		dir := filepath.Join(root, fmt.Sprintf("case-%03d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for k := range each {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("S26-%05d.tiff", i*each+k)), []byte("II"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	var list []*catalog.Image
	folder, err := source.OpenDirectory(root, "", source.NewFilter(nil, nil))
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	add := func(f source.Item) {
		list = append(list, &catalog.Image{
			StoreID: st.ID, Path: f.Path, State: catalog.Available, Identity: f.Identity, Revision: f.Identity.Revision(),
			Description: catalog.Description{FileName: inspect.FileName(f.Path), Levels: make([]catalog.Level, 8)},
		})
	}
	if _, err := folder.List(b.Context(), source.ListOptions{Item: add}); err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(list); i += 1000 {
		if err := c.Images.Put(b.Context(), list[i:i+1000]); err != nil {
			b.Fatal(err)
		}
	}
	list = nil
	scan := func(b *testing.B, s *Syncer) {
		r, err := s.Sync(b.Context(), st.ID, Options{})
		if err != nil || r.Count != folders*each || r.changed() {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.Run("known", func(b *testing.B) {
		s := &Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler)}
		scan(b, s)
		b.ReportAllocs()
		for b.Loop() {
			scan(b, s)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-kept")
		runtime.KeepAlive(s)
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			scan(b, &Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler)})
		}
	})
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			n := 0
			count := func(source.Item) { n++ }
			if _, err := folder.List(b.Context(), source.ListOptions{Item: count}); err != nil || n != folders*each {
				b.Fatal(n, err)
			}
		}
	})
}
