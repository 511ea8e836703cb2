package inspect

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// TestDamages inspects every class of damage. Each must be recognised in time and
// within 64 MB.
func TestDamages(t *testing.T) {
	dir := t.TempDir()
	want := map[string]Kind{synth.Ready: Complete, synth.Broken: Damaged, synth.Unsupported: Unsupported}
	for _, d := range synth.Damages {
		path, err := d.Make(dir)
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		found, took, used := measured(t, path)
		if found.Kind != want[d.Want] {
			t.Errorf("%s (%s): kind %d %q, want %s", d.Name, d.Words, found.Kind, found.Reason, d.Want)
		}
		if took > inspectTime || used > 64<<20 {
			t.Errorf("%s: took %v and %d MB", d.Name, took, used>>20)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignFiles inspects files that other programs wrote and that were damaged.
// File must always return soon, and use little memory.
func TestForeignFiles(t *testing.T) {
	root := os.Getenv("PTIFFSTORE_TESTDATA")
	if root == "" {
		root = "../../../shared/data"
	}
	if _, err := os.Stat(root); err != nil {
		t.Skip("no folder of test files: name one in PTIFFSTORE_TESTDATA")
	}
	kinds := map[Kind]int{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		found, took, used := measured(t, path)
		kinds[found.Kind]++
		if found.Kind > Unsupported {
			t.Errorf("%s: kind %d %q", path, found.Kind, found.Reason)
		}
		if took > inspectTime || used > 64<<20 {
			t.Errorf("%s: took %v and %d MB", path, took, used>>20)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("whole %d, wrong %d, unsupported %d", kinds[Complete], kinds[Damaged], kinds[Unsupported])
}

// measured inspects a file and returns the time and the memory allocated.
func measured(t *testing.T, path string) (Inspection, time.Duration, uint64) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f := File(context.Background(), source.In(root), filepath.Base(path))
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return f, took, after.TotalAlloc - before.TotalAlloc
}
