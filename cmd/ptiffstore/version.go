package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/slideatlas/ptiffstore/internal/licenses"
	"github.com/slideatlas/ptiffstore/internal/render"
)

// version is set by the linker to the release, or to the output of git describe.
var version = "devel"

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
	}{version, "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, render.DecoderName()}
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
	_, err := fmt.Fprintf(std.out, "ptiffstore %s (%s, %s)\nJPEG decoder: %s\n", v.Version, v.Go, v.System, v.Decoder)
	return err
}
