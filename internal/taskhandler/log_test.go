package taskhandler

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/verify"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		result any
		want   string
	}{
		{scan.Result{Count: 1204, Added: 3, Updated: 1}, "scanned 1,204 files: 3 new, 1 changed, 0 moved, 0 missing, 0 back"},
		{
			scan.Result{Count: 1, Missing: 2, Arriving: 4, Failed: []scan.Failure{{Image: "i", Reason: "/slides/Jane Doe.tiff: no slide"}}},
			"scanned 1 file: 0 new, 0 changed, 0 moved, 2 missing, 0 back, 4 still arriving, 1 not readable as slides",
		},
		{verify.Result{Checked: 1000, Hashed: 2, Bytes: 1234567}, "read 1,000 files, 1,234,567 bytes: 1,000 without damage, 2 of them with a new digest, 0 damaged, 0 unreadable"},
		{tally{Count: 12, Failed: []scan.Failure{{Image: "i", Reason: "/slides/Jane Doe.tiff"}}}, "done with 12 images, 1 failed"},
		{convert.Result{Kind: "PNG", Width: 20000, Height: 999, Levels: 1, Bytes: 5}, "converted a PNG image of 20,000 × 999 pixels to a pyramid of 1 level, 5 bytes"},
		{nil, ""},
	} {
		if got := summary(tt.result); got != tt.want {
			t.Errorf("summary(%+v):\n got %s\nwant %s", tt.result, got, tt.want)
		}
	}
}

// TestLogOfSync checks the log of a sync, which must not name files.
func TestLogOfSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	root := filepath.Join(dir, "slides")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "Jane Doe.tiff"), []byte("not a slide"), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := c.Stores.Put(t.Context(), catalog.Store{Label: "l", Mode: catalog.InPlace, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	h := &Handlers{Catalog: c, Syncer: &scan.Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler)}}
	s, err := task.Open(t.Context(), task.Options{Catalog: c, Kinds: h.Kinds(), Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Work(ctx, task.WorkOptions{Queues: map[string]int{task.DefaultQueue: 1}}) }()
	v, err := s.Submit(ctx, task.Submission{Kind: task.SyncStore, Store: st.ID})
	if err != nil {
		t.Fatal(err)
	}
	if v, err = s.Wait(ctx, v.ID); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	lost, err := s.Submit(ctx, task.Submission{Kind: task.SyncStore, Store: st.ID})
	if err != nil {
		t.Fatal(err)
	}
	for change := range s.Watch(ctx, lost.ID) {
		if lost = &change; lost.Error != nil {
			break
		}
	}
	if lost.ErrorCode == nil || *lost.ErrorCode != "folder_unreachable" {
		t.Errorf("without a folder: error code %v, want folder_unreachable", lost.ErrorCode)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var text string
	for _, l := range v.Log {
		text += l.Text + "\n"
	}
	if !strings.HasPrefix(text, "scanning the store\nscanned 1 file: ") || strings.Contains(text, "Jane") {
		t.Errorf("state %s, log:\n%s", v.State, text)
	}
}
