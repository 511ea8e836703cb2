// Command demoslides writes the slides of "ptiffstore demo" into a folder, smaller: the
// browser tests need their levels, not their size.
//
//	go run ./scripts/demoslides FOLDER
//
// Later, demo does not replace them. With --profile it writes one slide instead, with a colour profile
// that swaps red and green.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

func main() {
	write, args := synth.SmallDemo, os.Args[1:]
	if len(args) > 0 && args[0] == "--profile" {
		write, args = withProfile, args[1:]
	}
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: demoslides [--profile] FOLDER")
		os.Exit(64)
	}
	if err := write(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "demoslides:", err)
		os.Exit(1)
	}
}

// withProfile writes a slide with a colour profile.
func withProfile(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := synth.Generic{Seed: 7, Width: 3000, Height: 2000, PixelsPerCM: 20_000, ICC: synth.ScannerProfile()}.Write(filepath.Join(dir, "profile.tiff"))
	return err
}
