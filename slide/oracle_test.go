package slide_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// A verdict is the description of a slide by OpenSlide, and its difference from this
// package; see testdata/oracle.py.
type verdict struct {
	Vendor       string
	Levels       [][2]int
	MPP          [2]float64
	Associated   map[string][2]int
	Tiles, Empty int
	Worst        int // difference of a channel
	Where        string
}

// interpreter returns a Python with OpenSlide, or "" if it finds none.
var interpreter = sync.OnceValue(func() string {
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import openslide, PIL").Run() == nil {
			return p
		}
	}
	return ""
})

// needOpenSlide skips the test without OpenSlide.
func needOpenSlide(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("lets Python read each slide")
	}
	if interpreter() == "" {
		t.Skip("no Python with openslide and PIL (Debian: python3-openslide)")
	}
}

// ask lets OpenSlide open the file at path and compare it with all tiles and images of s.
// The error is that of OpenSlide.
func ask(t *testing.T, path string, s *slide.Slide) (verdict, error) {
	t.Helper()
	dir := t.TempDir()
	for i, l := range s.Levels {
		for row := range l.Rows {
			for col := range l.Columns {
				b, err := s.AppendTile(nil, i, col, row)
				if err == slide.ErrEmptyTile {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				write(t, dir, fmt.Sprintf("%d_%d_%d", i, col, row), b, l.Layout, l.TileWidth, l.TileHeight)
			}
		}
	}
	for _, kind := range s.Associated() {
		p, err := s.ReadAssociated(kind)
		if err != nil {
			continue // damaged: nothing to compare
		}
		for i, b := range p.Strips {
			h := min(p.RowsPerStrip, p.Height-i*p.RowsPerStrip)
			write(t, dir, fmt.Sprintf("%s_%d", kind, i), b, p.Layout, p.Width, h)
		}
	}
	var v struct {
		verdict
		Error string
	}
	answer := judge(t, path+"\t"+dir)
	if err := json.Unmarshal(answer, &v); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	if v.Error != "" {
		return verdict{}, errors.New(v.Error)
	}
	return v.verdict, nil
}

// A judging is a process of testdata/oracle.py, which ends with this process.
type judging struct {
	in  io.Writer
	out *bufio.Reader
}

// idle holds the processes that have no question at present.
var idle = make(chan judging, runtime.GOMAXPROCS(0))

// judge sends a question to a process of testdata/oracle.py and returns its answer.
func judge(t *testing.T, question string) []byte {
	t.Helper()
	var p judging
	select {
	case p = <-idle:
	default:
		p = startJudging(t)
	}
	if _, err := io.WriteString(p.in, question+"\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("oracle.py has ended: %v", err)
	}
	select {
	case idle <- p:
	default:
		p.in.(io.Closer).Close()
	}
	return answer
}

func startJudging(t *testing.T) judging {
	t.Helper()
	cmd := exec.Command(interpreter(), filepath.Join("testdata", "oracle.py"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return judging{in, bufio.NewReader(out)}
}

// write writes a tile or strip: a JPEG unchanged, so that OpenSlide decodes it itself,
// others as decoded by this project.
func write(t *testing.T, dir, name string, b []byte, lay slide.Layout, w, h int) {
	t.Helper()
	name += ".jpg"
	if lay.Codec != slide.JPEG {
		name = name[:len(name)-3] + "png"
		m, err := render.Decode(t.Context(), b, lay, w, h)
		if err != nil {
			t.Fatal(err)
		}
		b = encodePNG(t, m)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func encodePNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seen returns the description by this package as a verdict.
func seen(t *testing.T, s *slide.Slide) verdict {
	t.Helper()
	v := verdict{Vendor: s.Format, MPP: [2]float64{s.MPPX, s.MPPY}, Associated: map[string][2]int{}}
	if v.Vendor == "generic" {
		v.Vendor = "generic-tiff"
	}
	for i, l := range s.Levels {
		v.Levels = append(v.Levels, [2]int{l.Width, l.Height})
		for row := range l.Rows {
			for col := range l.Columns {
				if _, err := s.AppendTile(nil, i, col, row); err == slide.ErrEmptyTile {
					v.Empty++
				} else {
					v.Tiles++
				}
			}
		}
	}
	for _, kind := range s.Associated() {
		p, err := s.ReadAssociated(kind)
		if err != nil {
			continue
		}
		v.Associated[kind] = [2]int{p.Width, p.Height}
	}
	return v
}

// agree checks that OpenSlide reads exactly the same pixels.
func agree(t *testing.T, path string) {
	t.Helper()
	s := openFile(t, path)
	got := seen(t, s)
	want, err := ask(t, path, s)
	if err != nil {
		t.Fatalf("OpenSlide: %v", err)
	}
	if want.Worst > 0 {
		t.Errorf("differs from OpenSlide by %d levels: %s", want.Worst, want.Where)
	}
	want.Worst, want.Where = 0, ""
	if want.Vendor == "generic-tiff" && want.MPP == [2]float64{} {
		got.MPP = want.MPP // before version 4 it does not read the resolution of a generic TIFF
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("slide (-OpenSlide +ours):\n%s", diff)
	}
}

func openFile(t *testing.T, path string) *slide.Slide {
	t.Helper()
	s, err := openPath(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openPath(t *testing.T, path string) (*slide.Slide, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slide.Open(bytes.NewReader(b), int64(len(b)))
}

// further lists the slides of [slide.OracleFiles] that OpenSlide 3.4.1 does not open or
// reads differently, with the reason.
var further = map[string]string{
	"philips big-endian":         "classic big-endian files are not opened",
	"philips label damaged":      "a label that cannot be decoded makes the slide unreadable",
	"philips spacings missing":   "without the spacing of each level the slide is not opened",
	"philips software gone":      "without its Software tag it is no Philips slide",
	"philips not reduced":        "a level that is not marked as reduced makes the slide unreadable",
	"generic JFIF, tag says RGB": "the tag is believed although the stream says that it is YCbCr",
	"sdk sparse":                 "a sparse tile of a generic pyramid cannot be read",
}

// TestOracle compares the peculiar slides of this package's tests with OpenSlide.
func TestOracle(t *testing.T) {
	needOpenSlide(t)
	files := slide.OracleFiles()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "slide.tiff")
			if err := os.WriteFile(path, files[name], 0o600); err != nil {
				t.Fatal(err)
			}
			why, ok := further[name]
			if !ok {
				agree(t, path)
				return
			}
			s := openFile(t, path)
			v, err := ask(t, path, s)
			if err == nil && v.Worst == 0 && cmp.Equal(v.Levels, seen(t, s).Levels) {
				t.Errorf("OpenSlide sees the same, where it did not: %s", why)
			}
			t.Logf("%s; OpenSlide: %v", why, err)
		})
	}
}

// TestOracleOnTestData compares the slides of the test data with OpenSlide.
func TestOracleOnTestData(t *testing.T) {
	needOpenSlide(t)
	root := os.Getenv("PTIFFSTORE_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	for _, name := range []string{
		"philips-synthetic/small.tiff", "philips-synthetic/small-422.tiff", "philips-synthetic/small-444-big.tiff",
		"real/CMU-1-Small-Region.svs", "tiff-odd/cog.tiff", "tiff-odd/quad-tile.jpg.tiff", "tiff-odd/tiled-jpeg-rgb-u8.tif",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(root, filepath.FromSlash(name))
			if _, err := os.Stat(path); err != nil {
				t.Skipf("no test data: %v (PTIFFSTORE_TESTDATA names the folder)", err)
			}
			agree(t, path)
		})
	}
}
