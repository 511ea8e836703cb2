package synth

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// demo are the slides of [Demo]: of different kinds, sizes and scanners.
var demo = []struct {
	name  string
	slide Philips
	small int // divisor of the sides in SmallDemo
}{
	{"S26-01417_A1_HE.tiff", Philips{
		Seed: 3, Width: 61_200, Height: 45_900, Big: true, Sparse: true, Label: true, Macro: true,
		Barcode: "S26-01417;A1;HE", Acquired: time.Date(2026, 3, 12, 9, 41, 7, 0, time.UTC),
	}, 5},
	{"S26-01422_B2_HE.tiff", Philips{
		Seed: 11, Width: 17_400, Height: 13_100, Sparse: true, Label: true, Macro: true, AssociatedIn: InXML,
		Barcode: "S26-01422;B2;HE", MPPX: 0.5, MPPY: 0.5, Maker: "3D Histech", Model: "P250", Serial: "P250-0412",
		Acquired: time.Date(2026, 3, 12, 10, 2, 55, 0, time.UTC),
	}, 3},
	{"S26-01430_A1_HE.tiff", Philips{
		Seed: 5, Width: 12_600, Height: 9_800, Sparse: true, Macro: true, Barcode: "S26-01430;A1;HE",
		Acquired: time.Date(2026, 3, 13, 8, 15, 30, 0, time.UTC),
	}, 2},
}

// Demo writes three slides into a folder, which it creates if necessary: one of a slide
// scanner's usual size, with everything; a classic one whose label and macro are in the
// XML; and one without a label. Existing slides are not replaced. Progress receives the
// share that is done, from 0 to 1.
func Demo(dir string, progress func(share float64)) error { return writeDemo(dir, false, progress) }

// SmallDemo is Demo with smaller slides: their pixels take most of the time.
// For tests.
func SmallDemo(dir string) error { return writeDemo(dir, true, func(float64) {}) }

func writeDemo(dir string, small bool, progress func(share float64)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	done, all := 0.0, 0.0 // pixels
	for _, d := range demo {
		all += float64(d.slide.Width) * float64(d.slide.Height)
	}
	for _, d := range demo {
		path := filepath.Join(dir, d.name)
		size := float64(d.slide.Width) * float64(d.slide.Height)
		slide := d.slide
		if small {
			slide.Width /= d.small
			slide.Height /= d.small
		}
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			_, err = slide.write(path, func(share float64) { progress((done + share*size) / all) })
		}
		if err != nil {
			return err
		}
		done += size
		progress(done / all)
	}
	return nil
}
