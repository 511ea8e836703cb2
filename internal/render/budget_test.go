package render

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"image"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// coefficients returns a progressive JPEG of w × h pixels and the given number of
// components. All pixels are the same, so that each block takes one bit.
func coefficients(w, h, components int, sampling byte) []byte {
	b := []byte{0xff, jpeg.MarkSOI, 0xff, jpeg.MarkDQT, 0, 67, 0}
	b = append(b, bytes.Repeat([]byte{1}, 64)...)
	b = append(b, 0xff, jpeg.MarkSOF2, 0, byte(8+3*components), 8, byte(h>>8), byte(h), byte(w>>8), byte(w), byte(components))
	for i := range components {
		b = append(b, byte(i+1), 0x11, 0)
		if i == 0 {
			b[len(b)-2] = sampling
		}
	}
	b = append(b, 0xff, jpeg.MarkDHT, 0, 20, 0, 1)
	b = append(b, make([]byte, 16)...) // the code 0 is a difference of 0
	b = append(b, 0xff, jpeg.MarkSOS, 0, byte(6+2*components), byte(components))
	for i := range components {
		b = append(b, byte(i+1), 0)
	}
	b = append(b, 0, 0, 0)
	across, down := 1, 1
	if components > 1 {
		across, down = int(sampling>>4), int(sampling&15)
	}
	units := ((w + 8*across - 1) / (8 * across)) * ((h + 8*down - 1) / (8 * down))
	b = append(b, make([]byte, (units*(across*down+components-1)+7)/8)...)
	return append(b, 0xff, jpeg.MarkEOI)
}

// allocated returns the number of bytes that f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func deflated(n int) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(make([]byte, n))
	w.Close()
	return b.Bytes()
}

// TestHostileLabel reads labels that are small files with large images. Each is rejected
// with a reason, and almost without allocating memory.
func TestHostileLabel(t *testing.T) {
	const side = 8192
	rgb := slide.Layout{Codec: slide.Deflate, Photometric: trueColor, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	for name, p := range map[string]*slide.AssociatedImage{
		"progressive JPEG": {Layout: slide.Layout{Codec: slide.JPEG}, Strips: [][]byte{coefficients(side, side, 3, 0x11)}},
		"deflate":          {Width: side, Height: side, RowsPerStrip: side, Layout: rgb, Strips: [][]byte{deflated(3 * side * side)}},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			n := allocated(func() { _, err = DecodeAssociated(t.Context(), p) })
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "8192×8192") {
				t.Errorf("got %v, want %v", err, ErrTooLarge)
			}
			if n > 1<<20 {
				t.Errorf("refusing it took %d bytes", n)
			}
		})
	}
}

// TestHostileTile decodes tiles that are small files with large images.
func TestHostileTile(t *testing.T) {
	const side = 8192
	rgb := slide.Layout{Codec: slide.Deflate, Photometric: trueColor, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	for name, tt := range map[string]struct {
		layout slide.Layout
		data   []byte
	}{
		"progressive JPEG":    {slide.Layout{Codec: slide.JPEG}, coefficients(side, side, 3, 0x11)},
		"deflate":             {rgb, deflated(3 * side * side)},
		"zstd, a wide window": {slide.Layout{Codec: slide.Zstd, Photometric: minIsBlack, Samples: 1, Bits: 8, Planar: 1, Predictor: 1}, []byte("\x28\xb5\x2f\xfd\x00\x88" + strings.Repeat("\x00", 1<<12))},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := NewBudget(128<<20).Begin(t.Context(), 0)
			defer end()
			w, h := side, side
			if tt.layout.Codec == slide.Zstd {
				w, h = 64, 64
			}
			var err error
			if n := allocated(func() { _, err = Decode(ctx, tt.data, tt.layout, w, h) }); n > 2<<20 {
				t.Errorf("refusing it took %d bytes", n)
			}
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v, want %v", err, ErrTooLarge)
			}
		})
	}
}

// TestCost decodes images of all kinds. None may allocate more memory than was taken for
// it.
func TestCost(t *testing.T) {
	const w, h = 1000, 700
	layout := func(c slide.Codec, samples int) slide.Layout {
		photometric := map[int]int{1: minIsBlack, 3: trueColor, 4: inks}[samples]
		return slide.Layout{Codec: c, Photometric: photometric, Samples: samples, Bits: 8, Planar: 1, Predictor: 1}
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<22))
	if err != nil {
		t.Fatal(err)
	}
	baseline, err := EncodeJPEG(plain(w, h, white), 90)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		layout slide.Layout
		data   []byte
	}{
		"baseline JPEG":            {layout(slide.JPEG, 3), baseline},
		"progressive JPEG, 4:4:4":  {layout(slide.JPEG, 3), coefficients(w, h, 3, 0x11)},
		"progressive JPEG, 4:2:0":  {layout(slide.JPEG, 3), coefficients(w, h, 3, 0x22)},
		"progressive JPEG, 4:1:0":  {layout(slide.JPEG, 3), coefficients(w, h, 3, 0x42)},
		"progressive JPEG, gray":   {layout(slide.JPEG, 1), coefficients(w, h, 1, 0x11)},
		"not compressed":           {layout(slide.None, 3), make([]byte, 3*w*h)},
		"deflate":                  {layout(slide.Deflate, 3), deflated(3 * w * h)},
		"deflate, four inks":       {layout(slide.Deflate, 4), deflated(4 * w * h)},
		"zstd, a window of 4 MB":   {layout(slide.Zstd, 3), encoder.EncodeAll(make([]byte, 3*w*h), nil)},
		"zstd, a picture in gray":  {layout(slide.Zstd, 1), encoder.EncodeAll(make([]byte, w*h), nil)},
		"PackBits, runs of a byte": {layout(slide.PackBits, 1), bytes.Repeat([]byte{129, 7}, w*h/128+1)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := NewBudget(1<<30).Begin(t.Context(), 0)
			defer end()
			runtime.GC() // twice, so that the image is a fresh one
			runtime.GC()
			n := allocated(func() { _, err = Decode(ctx, tt.data, tt.layout, w, h) })
			if err != nil {
				t.Fatal(err)
			}
			a := ctx.Value(accountKey{}).(*account)
			const beside = 1 << 20 // allocated once per process
			if n > a.held+beside {
				t.Errorf("decoding allocated %d bytes, and %d were taken", n, a.held)
			}
			if a.used != pictureCost(w, h) {
				t.Errorf("%d bytes are taken for the picture, want %d", a.used, pictureCost(w, h))
			}
		})
	}
}

// TestBudget lets several pieces of work take memory from one budget.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		one, endOne := b.Begin(t.Context(), 0)
		if err := Take(one, 101); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "--memory-limit") {
			t.Errorf("more than all: %v", err)
		}
		if err := Take(one, 60); err != nil {
			t.Fatal(err)
		}
		Give(one, 30)
		if err := Take(one, 70); err != nil {
			t.Fatal(err)
		}
		two, endTwo := b.Begin(t.Context(), 3*time.Second)
		defer endTwo()
		began := time.Now()
		if err := Take(two, 1); !errors.Is(err, ErrBusy) || time.Since(began) != 3*time.Second {
			t.Errorf("nothing is free: %v after %v", err, time.Since(began))
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		three, endThree := b.Begin(gone, 0)
		defer endThree()
		if err := Take(three, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the deadline has passed", err)
		}
		go func() { time.Sleep(time.Second); endOne() }()
		if err := Take(two, 100); err != nil {
			t.Errorf("all is free after a second: %v", err)
		}
	})
}

// TestBudgetDeadlock lets two pieces of work that each hold half of the budget wait for the
// other half.
func TestBudgetDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		errs := make(chan error, 2)
		for i := range 2 {
			go func() {
				ctx, end := b.Begin(t.Context(), 0)
				defer end()
				err := Take(ctx, 50)
				time.Sleep(time.Duration(i+1) * time.Second)
				errs <- errors.Join(err, Take(ctx, 50))
			}()
		}
		failed := 0
		for range 2 {
			if err := <-errs; errors.Is(err, ErrBusy) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%d of them were refused, want 1", failed)
		}
	})
}

// TestThumbnailOfALine renders a slide that is so wide that the weights of its columns alone
// would fill the memory.
func TestThumbnailOfALine(t *testing.T) {
	s, err := slide.New(slide.Pyramid{TileSize: 1, Zooms: 31, Bounds: image.Rect(0, 0, 1<<30, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.Levels, s.Zooms = s.Levels[:1], s.Zooms[30:]
	if _, err := Thumbnail(t.Context(), s, 256, 256, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}
