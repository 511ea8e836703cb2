package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noise returns n bytes that differ for each seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func create(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Müller, Eva.tiff")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestHash(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, block - 1, block, block + 1, window, window + 4097, 2*window + block/2} {
		data := noise(1, size)
		f := open(t, create(t, data))
		if _, err := f.Seek(int64(size/2), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var last, calls int64
		got, err := Hash(t.Context(), f, Options{Progress: func(done, total int64) {
			if done <= last || done > total || total != int64(size) {
				t.Errorf("%d bytes: progress %d of %d after %d", size, done, total, last)
			}
			last = done
			calls++
		}})
		if want := fmt.Sprintf("%x", sha256.Sum256(data)); got != want || err != nil {
			t.Errorf("%d bytes: %s, %v, want %s", size, got, err, want)
		}
		if last != int64(size) {
			t.Errorf("%d bytes: progress ended at %d in %d calls", size, last, calls)
		}
	}
}

// TestHashOfAChangingFile changes a file during a hash.
func TestHashOfAChangingFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string) error
	}{
		{"written", func(_ *testing.T, path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{1}, 5)
			return errors.Join(err, f.Close())
		}},
		{"written, its mtime restored", func(_ *testing.T, path string) error {
			st, err := os.Stat(path)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{1}, 5)
			return errors.Join(err, f.Close(), os.Chtimes(path, st.ModTime(), st.ModTime()))
		}},
		{"grown", func(_ *testing.T, path string) error { return os.Truncate(path, 9<<20) }},
		{"cut short", func(_ *testing.T, path string) error { return os.Truncate(path, 3<<20+5) }},
		{"emptied", func(_ *testing.T, path string) error { return os.Truncate(path, 0) }},
		{"replaced", func(t *testing.T, path string) error {
			return os.Rename(create(t, noise(2, 4<<20)), path)
		}},
		{"removed", func(_ *testing.T, path string) error { return os.Remove(path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := create(t, noise(1, 4<<20))
			time.Sleep(20 * time.Millisecond) // the clock of ctime is coarse
			once := false
			digest, err := Hash(t.Context(), open(t, path), Options{Progress: func(done, _ int64) {
				if done < 2<<20 || once {
					return
				}
				once = true
				if err := tt.change(t, path); err != nil {
					t.Fatal(err)
				}
			}})
			if !errors.Is(err, ErrChanged) || digest != "" {
				t.Errorf("%q, %v, want %v", digest, err, ErrChanged)
			}
		})
	}
}

func TestHashFails(t *testing.T) {
	t.Parallel()
	path := create(t, noise(1, 4<<20))
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		f    *os.File
		o    Options
		want string
	}{
		{"not open for reading", t.Context(), writer, Options{}, "read error at byte 0 of 4194304: bad file descriptor"},
		{"a folder", t.Context(), open(t, filepath.Dir(path)), Options{}, "not a regular file"},
		{"a device", t.Context(), open(t, os.DevNull), Options{}, "not a regular file"},
		{"cancelled", gone, open(t, path), Options{}, "context canceled"},
		{"cancelled, paced", gone, open(t, path), Options{Rate: 1}, "context canceled"},
	} {
		_, err := Hash(tt.ctx, tt.f, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Eva") {
			t.Errorf("%s: %v, want %q, and no file name", tt.name, err, tt.want)
		}
	}
}

// A paced hash takes at least as long as the rate requires. The upper bound depends on
// the machine and is not tested.
func TestRate(t *testing.T) {
	const size, rate = 8 << 20, 16 << 20
	f := open(t, create(t, noise(1, size)))
	began := time.Now()
	if _, err := Hash(t.Context(), f, Options{Rate: rate}); err != nil {
		t.Fatal(err)
	}
	// The first block is read without waiting.
	if took, least := time.Since(began), time.Duration(size-block)*time.Second/rate; took < least-10*time.Millisecond || took > least+time.Minute {
		t.Errorf("%d bytes at %d a second took %v, want %v and somewhat more", size, rate, took, least)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := Hash(ctx, f, Options{Rate: 1000}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute {
		t.Errorf("cancelled: %v after %v, want %v at once", err, time.Since(began), context.DeadlineExceeded)
	}
}

// BenchmarkHash measures a file in the page cache, and for comparison a loop of read
// and hash with the same buffer.
func BenchmarkHash(b *testing.B) {
	const size = 256 << 20
	path := create(b, bytes.Repeat(noise(1, 1<<20), size>>20))
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Hash(b.Context(), f, Options{}); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			h := sha256.New()
			if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, block)); err != nil {
				b.Fatal(err)
			}
			h.Sum(nil)
			f.Close()
		}
	})
}
