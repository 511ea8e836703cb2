package tiff

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dataFolder is the directory of test files that are not part of the repository:
// PTIFFSTORE_TESTDATA, or shared/data beside the checkout.
func dataFolder() (string, error) {
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	_, err := os.Stat(dir)
	return dir, err
}

// needData skips the test without those files.
func needData(t *testing.T) string {
	t.Helper()
	dir, err := dataFolder()
	if err != nil {
		t.Skipf("no test data: %v; PTIFFSTORE_TESTDATA names its folder", err)
	}
	return dir
}

// eachFile calls do with every file below dir that may be a TIFF.
func eachFile(t testing.TB, dir string, do func(path string)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && filepath.Ext(path) != ".md" {
			n++
			do(path)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files in %s, %v", n, dir, err)
	}
}

// TestData opens and reads every file: unusual ones must open, damaged ones may be
// rejected, and time and memory are limited.
func TestData(t *testing.T) {
	eachFile(t, needData(t), func(path string) {
		if filepath.Ext(path) == ".jpg" {
			return
		}
		t.Run(filepath.ToSlash(path), func(t *testing.T) {
			r, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			info, err := r.Stat()
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var f *File
			got := allocated(func() {
				if f, err = Open(r, info.Size()); err == nil {
					readAll(t, f, maxMemory/8)
				}
			})
			if took := time.Since(start); got > maxMemory || took > maxTime {
				t.Errorf("reading %d bytes allocated %d bytes in %v, want at most %d in %v", info.Size(), got, took, maxMemory, maxTime)
			}
			checkError(t, err)
			if err != nil && !strings.Contains(path, "damaged") {
				t.Error(err)
			}
		})
	})
}

// TestDataDirectories compares the offsets of directories with those of libtiff 4.5.0's
// tiffinfo.
func TestDataDirectories(t *testing.T) {
	type found struct {
		Chain []int64
		Sub   []int64 // of each of them
		At    int64   // offset of the error
		Err   string  // how the error begins; libtiff ends a chain there
	}
	tests := []struct {
		name string
		want found
	}{
		{"philips-synthetic/small.tiff", found{Chain: []int64{1446456, 1447512, 1448456, 1449368, 1450264, 1484112, 1493712}}},
		{"philips-synthetic/small-444-big.tiff", found{Chain: []int64{1918928, 1920208, 1921320, 1922376, 1923424, 1956832, 1966624}}},
		{"real/CMU-1-Small-Region.svs", found{Chain: []int64{1275950, 1474362, 1850194, 1938212}}},
		{"tiff-odd/be_cog.tiff", found{Chain: []int64{2224, 3848, 5126, 6312, 7482}}},
		{"tiff-odd/tiff_with_subifd_chain.tif", found{Chain: []int64{8, 666}, Sub: []int64{1800, 1324, 1990, 1562}}},
		{"tiff-damaged/loops/multipage_out_of_order.tiff", found{Chain: []int64{28, 580, 284}}},
		{"tiff-damaged/loops/multipage_single_frame_loop.tiff", found{At: 222, Err: "the file is damaged: directory 1 should be at bytes 28"}},
		{"tiff-damaged/loops/multipage_multiple_frame_loop.tiff", found{At: 478, Err: "the file is damaged: directory 2 should be at bytes 28"}},
		{"tiff-damaged/loops/test_ifd_loop_subifd.tif", found{At: 1318, Err: "the file is damaged: directory 5 should be at bytes 868"}},
		{"tiff-damaged/loops/test_ifd_loop_to_self.tif", found{At: 554, Err: "the file is damaged: directory 1 should be at bytes 408"}},
		{"tiff-damaged/loops/test_ifd_loop_to_first.tif", found{At: 308, Err: "the file is damaged: directory 2 should be at bytes 10"}},
	}
	dir := needData(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(tt.name)))
			if err != nil {
				t.Skip(err)
			}
			var got found
			f, err := Open(bytes.NewReader(b), int64(len(b)))
			if err == nil {
				got.Chain = offsets(f.Directories())
				for _, d := range f.Directories() {
					subs, err := d.SubDirectories()
					if err != nil {
						t.Error(err)
					}
					got.Sub = append(got.Sub, offsets(subs)...)
				}
			}
			if err != nil {
				if e, ok := errors.AsType[*FormatError](err); ok {
					got.At = e.Offset
				}
				got.Err = err.Error()
				got.Err = got.Err[:min(len(got.Err), len(tt.want.Err))]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%v", diff, err)
			}
		})
	}
}

func offsets(dirs []*Directory) []int64 {
	var o []int64
	for _, d := range dirs {
		o = append(o, d.Offset)
	}
	return o
}
