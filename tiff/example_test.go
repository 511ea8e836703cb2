package tiff_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Print where the first tile of each image is.
func ExampleOpen() {
	r, err := os.Open("slide.tiff")
	if err != nil {
		log.Print(err)
		return
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		log.Print(err)
		return
	}
	f, err := tiff.Open(r, info.Size())
	if err != nil {
		log.Print(err)
		return
	}
	for _, d := range f.Directories() {
		offsets, err := d.Array(tiff.TagTileOffsets)
		if err != nil {
			log.Print(err)
			return
		}
		if offsets.Len() > 0 {
			fmt.Printf("image %d: %d tiles, the first at byte %d\n", d.Index, offsets.Len(), offsets.At(0))
		}
	}
}

func ExampleFormatError() {
	const file = "II*\x00\x08\x00\x00\x00" + // header
		"\x01\x00" + "\x44\x01\x04\x00\x03\x00\x00\x00\xff\x00\x00\x00" + "\x00\x00\x00\x00" // three offsets at byte 255
	f, err := tiff.Open(strings.NewReader(file), int64(len(file)))
	if err != nil {
		log.Fatal(err)
	}
	_, err = f.Directories()[0].Array(tiff.TagTileOffsets)
	if e, ok := errors.AsType[*tiff.FormatError](err); ok {
		fmt.Println(e)
		fmt.Println("broken:", e.Tag, "at", e.Offset)
	}
	// Output:
	// the file is incomplete or damaged: 3 values of 4 bytes should be at byte 255, but the file ends at byte 26 (TIFF tag 324 TileOffsets, at byte 10)
	// broken: 324 TileOffsets at 10
}
