package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/internal/licenses"
)

// version is set by the linker to what scripts/version prints.
var version = devel

const devel = "devel"

func init() {
	// The program was built by go install, with the version of a module.
	if bi, ok := debug.ReadBuildInfo(); ok && version == devel && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		version = bi.Main.Version
	}
}

type versionCmd struct {
	JSON     bool `help:"Print JSON."`
	Licenses bool `help:"Print the licenses of all parts of the program."`
}

func (*versionCmd) Help() string { return "Example:\n\n  ptiffstore version" }

// Run prints the version.
func (c *versionCmd) Run(std streams) error {
	if c.Licenses {
		_, err := io.WriteString(std.out, licenses.Licenses)
		return err
	}
	v := struct {
		Version string `json:"version"`
		Commit  string `json:"commit,omitempty"`
		Go      string `json:"go"`
		System  string `json:"system"`
		Decoder string `json:"jpeg_decoder"`
		JP2     string `json:"jpeg2000_decoder,omitempty"`
	}{version, "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, codec.Name(), jpeg2000.Name()}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(v)
	}
	_, err := fmt.Fprintf(std.out, "ptiffstore %s (%s, %s)\nJPEG decoder: %s\nJPEG 2000 decoder: %s\n",
		v.Version, v.Go, v.System, v.Decoder, cmp.Or(v.JP2, "none: this build is pure Go"))
	return err
}
