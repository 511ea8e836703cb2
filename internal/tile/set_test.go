package tile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

// TestSet requests tiles of a set of files. A file that was written to is noticed by the read,
// and any other change of the set by the comparison of paths.
func TestSet(t *testing.T) {
	t.Parallel()
	errRead := errors.New("the file was written to")
	for _, tt := range []struct {
		name            string
		written, absent bool
	}{{"unchanged", false, false}, {"written to", true, false}, {"another file", false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var written, absent, changed atomic.Bool
				var closed atomic.Int64
				src := &source{identity: fsx.Identity{Size: 5}, read: func(int, int, int) ([]byte, error) {
					if written.Load() {
						return nil, errRead
					}
					return plain(7), nil
				}}
				s := New(Options{
					Changed: func(string) { changed.Store(true) },
					Open: func(ctx context.Context, f *File) (Opened, error) {
						o, err := src.Open(ctx, f)
						o.Current = func() error {
							if absent.Load() {
								return ErrChanged
							}
							return nil
						}
						o.Written, o.Files, o.Close = written.Load, 3, func() { closed.Add(1) }
						return o, err
					},
				})
				defer s.Close()
				s.Put(File{ID: "a", Set: true, Store: &Store{ID: "s", Origin: slide.BottomLeft}, Path: "x/~1.1", Revision: "r1", Identity: src.identity})
				a := Address{Z: 2, X: 1, Y: 3, Revision: "r1"}
				ans, err := fetch(s, a, "")
				if err != nil || ans.ETag == "" {
					t.Fatal(err)
				}
				ans.Release()
				if n := s.Stats().OpenFiles; n != 3 {
					t.Errorf("%d open files, want 3", n)
				}
				written.Store(tt.written)
				absent.Store(tt.absent)
				pause := PathCheck
				if tt.written {
					pause = 0
				}
				time.Sleep(pause)
				ans, err = fetch(s, a, "")
				ans.Release()
				if want := tt.written || tt.absent; errors.Is(err, ErrChanged) != want || !want && err != nil || changed.Load() != want || closed.Load() != int64(btoi(want)) {
					t.Errorf("error %v, changed %v, closed %d", err, changed.Load(), closed.Load())
				}
			})
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
