package synth_test

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// Every class of damage is recognised, in under a second and 64 MB.
func TestDamages(t *testing.T) {
	for _, d := range synth.Damages {
		t.Run(d.Name, func(t *testing.T) {
			path, err := d.Make(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			got, err := verdict(t, path)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if got != d.Want {
				t.Errorf("%s: %s (%v), want %s", d.Words, got, err, d.Want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 || took > time.Second {
				t.Errorf("%s: %v and %d MB", d.Words, took, n>>20)
			}
			t.Logf("%s: %v", got, err)
		})
	}
}

// verdict opens and checks a file.
func verdict(t *testing.T, path string) (string, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err == nil {
		err = s.Check()
	}
	var broken *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	switch {
	case err == nil:
		return synth.Ready, nil
	case errors.As(err, &broken):
		return synth.Broken, err
	case errors.As(err, &unsupported):
		return synth.Unsupported, err
	}
	return "other", err
}
