//go:build unix

package render

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// benchmarkLoads are the loads of test/bench: regions of a slide as JPEGs.
var benchmarkLoads = []struct {
	name  string
	w, h  float64 // pixels of level 0, 0 for the whole slide
	width int
}{
	{"512 as it is", 512, 512, 512},
	{"1024 to 512", 1024, 1024, 512},
	{"1500 to 512", 1500, 1500, 512},
	{"whole to 1024", 0, 0, 1024},
}

// BenchmarkDraw renders regions at odd offsets of a slide with tiles of 512 pixels, and encodes
// them.
func BenchmarkDraw(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 7552, Height: 5120, TileSize: 512}).Write(path); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Revision: "1", Marks: NewMarksCache(32 << 20), Overviews: NewOverviews(64 << 20)}
	for _, load := range benchmarkLoads {
		b.Run(load.name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime(b)
			for i := 0; b.Loop(); i++ {
				v := Whole(s, load.width, load.width*5120/7552)
				if load.w > 0 {
					v = View{X: float64(1 + i*334%4000), Y: float64(1 + i*778%3000), W: load.w, H: load.h, Width: load.width, Height: load.width, Level: -1}
				}
				p, err := Draw(b.Context(), s, v, o)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := EncodePicture(p, 85); err != nil {
					b.Fatal(err)
				}
				DiscardPicture(b.Context(), p)
			}
			b.ReportMetric(float64((cpuTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpuTime returns the processor time of this process: on a busy machine the other one says
// little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
