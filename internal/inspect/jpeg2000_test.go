package inspect

import (
	"os"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestJPEG2000: a build without a decoder describes a slide of JPEG 2000 and says why it is
// unsupported. A tile that ends early is damage for every build.
func TestJPEG2000(t *testing.T) {
	tile, err := os.ReadFile("../jpeg2000/testdata/rgb.j2k")
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, n := range []int{0, 1, 2, 500} {
		b := slidetest.Level{Width: 180, Height: 150, TileWidth: 96, TileHeight: 80, Codec: 33005, Photometric: 2, Tile: tile[:len(tile)-n]}.Bytes()
		if err := root.WriteFile("a.tiff", b, 0o600); err != nil {
			t.Fatal(err)
		}
		got := File(t.Context(), source.In(root), "a.tiff")
		switch {
		case n > 0:
			if got.Kind != Damaged || !strings.Contains(got.Reason, "incomplete") {
				t.Errorf("without the last %d bytes: %d %s", n, got.Kind, got.Reason)
			}
		case ReadsJPEG2000():
			if got.Kind != Complete {
				t.Errorf("%d %s", got.Kind, got.Reason)
			}
		case got.Kind != Unsupported || got.Slide == nil || !strings.Contains(got.Reason, catalog.NotJPEG2000):
			t.Errorf("%d %s, slide %v", got.Kind, got.Reason, got.Slide)
		}
	}
}
