package inspect

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	front, tail := slidetest.Pyramid{}.Bytes(), slidetest.Pyramid{Tail: true}.Bytes()
	zeros := func(b []byte, from, to int) []byte {
		c := append([]byte(nil), b...)
		clear(c[from:to])
		return c
	}
	tests := []struct {
		name   string
		data   []byte
		want   Kind
		reason string // part of it
	}{
		{"directories first", front, Complete, ""},
		{"directories last", tail, Complete, ""},
		{"more behind the end", append(tail[:len(tail):len(tail)], "trailing"...), Complete, ""},
		{"a byte short", front[:len(front)-1], Damaged, "early"},
		{"half", front[:len(front)/2], Damaged, "early"},
		{"half, directories last", tail[:len(tail)/2], Damaged, "ends at byte"},
		{"only zeros", make([]byte, 100000), Damaged, "not a TIFF"},
		{"full size, second half not written", zeros(front, len(front)/2, len(front)), Damaged, ""},
		{"full size, first tile not written", zeros(tail, 8, 8+600), Damaged, "JPEG"},
		{"full size, last tile broken off", zeros(front, len(front)-40, len(front)), Damaged, "JPEG"},
		{"full size, only the header", zeros(front, 8, len(front)), Damaged, ""},
		{"empty", nil, Damaged, "0 bytes"},
		{"text", []byte("this is no picture at all"), Damaged, "not a TIFF"},
		{"in strips", slidetest.Pyramid{Striped: true}.Bytes(), Unsupported, ""},
		{"JPEG XL", slidetest.Pyramid{Codec: 50002}.Bytes(), Unsupported, ""},
		{"something else than JPEG 2000", slidetest.Pyramid{Codec: 34712}.Bytes(), Damaged, "JPEG 2000"},
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "a.tiff"), tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			got := File(context.Background(), source.In(root), "a.tiff")
			if got.Kind != tt.want || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("File: %d %q, want %d %q", got.Kind, got.Reason, tt.want, tt.reason)
			}
			if got.Identity.Size != int64(len(tt.data)) {
				t.Errorf("File: a file of %d bytes, want %d", got.Identity.Size, len(tt.data))
			}
			if (got.Kind == Complete) != (got.Slide != nil) {
				t.Errorf("File: kind %d with slide %v", got.Kind, got.Slide)
			}
			if strings.Contains(got.Reason, "a.tiff") || strings.Contains(got.Reason, dir) {
				t.Errorf("File: the reason names the file: %q", got.Reason)
			}
		})
	}
}

// TestInspectNoFile inspects entries below the root that are not regular files. They
// must not be read, and File must not block.
func TestInspectNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := slidetest.Pyramid{}.Bytes()
	outside := filepath.Join(t.TempDir(), "other.tiff")
	for _, err := range []error{
		os.WriteFile(outside, whole, 0o644),
		os.Symlink(outside, filepath.Join(dir, "out.tiff")),
		os.Symlink("loop.tiff", filepath.Join(dir, "loop.tiff")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.tiff"), 0o644),
		os.Mkdir(filepath.Join(dir, "folder.tiff"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"out.tiff", "loop.tiff", "pipe.tiff", "folder.tiff", "absent.tiff", "absent/a.tiff", "../other.tiff"} {
		if got := File(context.Background(), source.In(root), name); got.Kind != Gone && got.Kind != Unreadable {
			t.Errorf("File(%q): %d %q, want neither a slide nor a broken one", name, got.Kind, got.Reason)
		}
	}
}

func TestLookIsCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.tiff"), slidetest.Pyramid{}.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := File(ctx, source.In(root), "a.tiff"); got.Kind != Skipped {
		t.Errorf("File, cancelled: %d %q, want %d", got.Kind, got.Reason, Skipped)
	}
}
