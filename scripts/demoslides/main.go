// Command demoslides writes the slides of "ptiffstore demo" into a folder, the largest one at
// a third of its width and height: the browser tests need its levels, not its size.
//
//	go run ./scripts/demoslides FOLDER
//
// Later, demo does not replace them.
package main

import (
	"fmt"
	"os"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demoslides FOLDER")
		os.Exit(64)
	}
	if err := synth.SmallDemo(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "demoslides:", err)
		os.Exit(1)
	}
}
