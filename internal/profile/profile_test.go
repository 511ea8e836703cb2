package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// variant returns a usable profile that differs from the others.
func variant(i int) []byte {
	p := synth.ScannerProfile()
	p[84], p[85] = byte(i>>8), byte(i) // the profile's identity, which nothing depends on
	return p
}

// TestCache: slides share the profile of their scanner, and those that are not used go.
func TestCache(t *testing.T) {
	var c Cache
	var reads atomic.Int32
	of := func(key string, b []byte) *Profile {
		p, err := c.Of(key, false, func() ([]byte, error) { reads.Add(1); return b, nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := of("a", variant(0))
	if !first.Converts() || of("a", variant(0)) != first || reads.Load() != 1 {
		t.Errorf("the second time: %d reads, or another profile", reads.Load())
	}
	if of("b", variant(0)) != first {
		t.Error("the same profile of another slide is evaluated again")
	}
	if of("none", nil) != nil || of("none", variant(1)) != nil {
		t.Error("a slide without a profile has one")
	}
	for i := range maxKept + 5 {
		of(fmt.Sprint(i), variant(i))
		of("a", variant(0))
	}
	if len(c.profiles) != maxKept || len(c.order) != maxKept {
		t.Errorf("%d profiles are kept in an order of %d, want %d", len(c.profiles), len(c.order), maxKept)
	}
	if of("a", variant(0)) != first {
		t.Error("a profile that is used was dropped")
	}
	var wg sync.WaitGroup
	reads.Store(0)
	for range 20 {
		wg.Go(func() { of("many", variant(9999)).Table() })
	}
	wg.Wait()
	if n := reads.Load(); n > 20 || n < 1 {
		t.Errorf("%d reads", n)
	}
}

// TestUnusable: what is wrong with a profile is said, and errors of reading are not kept.
func TestUnusable(t *testing.T) {
	cmyk := bytes.Clone(variant(0))
	copy(cmyk[16:], "CMYK")
	gray := bytes.Clone(variant(0))
	copy(gray[16:], "GRAY")
	for _, tt := range []struct {
		name string
		b    []byte
		err  error
		want string
	}{
		{"CMYK", cmyk, nil, "CMYK pixels"},
		{"nonsense", []byte("nonsense"), nil, "not an ICC profile"},
		{"too large", append(variant(0), make([]byte, MaxBytes)...), nil, "more than the"},
		{"outside the file", nil, &tiff.FormatError{Msg: "outside"}, "damaged"},
		{"part missing", nil, fmt.Errorf("%w: 1 of 2", slide.ErrProfile), "1 of 2"},
		{"gray without a curve", gray, nil, "kTRC"},
	} {
		var c Cache
		p, err := c.Of(tt.name, false, func() ([]byte, error) { return tt.b, tt.err })
		if err != nil || p == nil || p.Usable || !errors.Is(p.Err(), ErrUnusable) || !strings.Contains(p.Reason, tt.want) {
			t.Errorf("%s: %+v, %v, want a reason with %q", tt.name, p, err, tt.want)
		}
	}
	var c Cache
	if _, err := c.Of("x", false, func() ([]byte, error) { return nil, io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	if p, err := c.Of("x", false, func() ([]byte, error) { return variant(0), nil }); err != nil || !p.Converts() {
		t.Errorf("after an error: %v, %v", p, err)
	}
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		icc  []byte
		want bool
	}{{variant(0), true}, {nil, false}} {
		path := filepath.Join(t.TempDir(), "a.tiff")
		if _, err := (synth.Generic{Width: 300, Height: 200, ICC: tt.icc}).Write(path); err != nil {
			t.Fatal(err)
		}
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
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(s)
		if err != nil || (p != nil) != tt.want || p.Converts() != tt.want {
			t.Errorf("Read = %+v, %v", p, err)
		}
	}
}
