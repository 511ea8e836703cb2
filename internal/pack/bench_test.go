package pack

import (
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/mongodump"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// BenchmarkWrite packs a dump of 5,461 tiles of 60 KB, and copies the same file with cp and
// reads it with cat. Bytes per second are those of the tiles. The files are in the folder
// that PACK_BENCH_DIR names, else in the temporary one.
func BenchmarkWrite(b *testing.B) {
	dir := os.Getenv("PACK_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	const zooms = 7
	grid := slideatlas.Grid{TileSize: 512, Levels: zooms, Bounds: image.Rect(0, 0, 512<<(zooms-1), 512<<(zooms-1))}
	im := slideatlas.Image{ID: "5356d8b9e67655244bf3273a", Grid: grid}
	path := filepath.Join(dir, string(im.ID)+".bson")
	size := writeDump(b, path, zooms)
	folder, err := mongodump.Open(dir, filepath.Join(dir, "indexes"))
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	tiles, err := folder.Tiles(b.Context(), im.ID)
	if err != nil {
		b.Fatal(err)
	}
	defer tiles.Close()
	s, err := im.Slide(tiles.Append)
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(dir, "packed.tiff")
	b.Run("pack", func(b *testing.B) {
		b.SetBytes(int64(tiles.Bytes))
		for b.Loop() {
			f, err := os.Create(out)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Write(b.Context(), s, f, Options{}); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	for _, argv := range [][]string{{"cp", path, out}, {"cat", path}} {
		b.Run(argv[0], func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Stdout = io.Discard
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				if argv[0] == "cp" {
					if err := exec.Command("sync", out).Run(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// writeDump writes the collection of a complete pyramid of random pixels.
func writeDump(b *testing.B, path string, zooms int) int64 {
	b.Helper()
	m := image.NewYCbCr(image.Rect(0, 0, 512, 512), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i*2654435761>>13) / 6 * 2
	}
	jpeg := encodeColour(m)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n := 0
	for zoom := range zooms {
		for row := range 1 << zoom {
			for col := range 1 << zoom {
				doc, err := bson.Marshal(bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "name", Value: slideatlas.Tile{Zoom: zoom, Column: col, Row: row}.Name()}, {Key: "file", Value: jpeg}})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Write(doc); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
	}
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d tiles of %d bytes, %d MB", n, len(jpeg), fi.Size()>>20)
	return fi.Size()
}
