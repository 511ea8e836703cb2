// Package synth writes whole-slide images that look like stained tissue, for tests,
// benchmarks and the demonstration: Philips TIFFs with all variants that a reader must
// handle, generic pyramids, and broken files.
//
// It shares no code with the packages that read slides, so that both can't have the
// same mistake. The seed determines the output: the same options give the same bytes on
// the same architecture.
//
// A slide is composed of cells of 64×64 pixels. Cells within one kind of tissue come,
// already compressed, from a stock of patches that fit each other on all sides; cells
// on a border are rendered. So a level of 100,000 pixels takes seconds, and every level
// is the previous one halved.
package synth

import (
	"fmt"
	"os"
	"path/filepath"
)

// An Info describes a written slide: the expected values for tests of readers.
type Info struct {
	Path   string
	Size   int64 // of the file, in bytes
	Levels []LevelInfo
}

// A LevelInfo describes a level of a written slide.
type LevelInfo struct {
	Width, Height         int // of the level's picture, in pixels; for Philips of its padded level 0, divided
	TagWidth, TagHeight   int // what ImageWidth and ImageLength say, in pixels
	TileWidth, TileHeight int // pixels
	Columns, Rows         int // of the grid by which the tile tables are ordered
	Tiles                 int // items of the tile tables; less than Columns×Rows where they are short
	Sparse                int // of Tiles, how many are 0/0
	Downsample            int // of level 0
}

// create writes a temporary file in the folder of path, and renames it to path when it
// is complete.
func create(path string, write func(f *os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".synth-*.partial")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("synth: %s: %w", filepath.Base(path), err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
