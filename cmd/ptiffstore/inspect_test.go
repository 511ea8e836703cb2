package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

const philipsText = `format           philips
vendor           PHILIPS
size             %d bytes
pixels           2560 × 2048
mpp x            0.25
mpp y            0.25
objective power  40
barcode          S-12
associated       [label macro]
colour profile   none
zooms            0 to 3

level  pixels       tile       grid   downsample  codec
0      2560 × 2048  512 × 512  5 × 4  1           JPEG
1      1280 × 1024  512 × 512  3 × 2  2           JPEG
2      640 × 512    512 × 512  2 × 1  4           JPEG
3      320 × 256    512 × 512  1 × 1  8           JPEG
`

const plainText = `format           generic
vendor           unknown
size             %d bytes
pixels           900 × 700
mpp x            unknown
mpp y            unknown
objective power  unknown
barcode          unknown
associated       []
colour profile   none
zooms            0 to 2

level  pixels     tile       grid   downsample  codec
0      900 × 700  256 × 256  4 × 3  1           JPEG
1      225 × 175  256 × 256  1 × 1  4           JPEG
`

// TestInspectText compares the text output. Properties follow a blank line, and equal those
// of the JSON.
func TestInspectText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		slide *slideFile
		want  string
	}{{philips, philipsText}, {plain, plainText}} {
		r := command(t, "inspect", tt.slide.file(t))
		head := strings.SplitAfterN(r.out, "\n\n", 3)
		got := strings.TrimRight(strings.Join(head[:min(2, len(head))], ""), "\n") + "\n"
		if diff := cmp.Diff(fmt.Sprintf(tt.want, tt.slide.info.Size), got); r.code != exitOK || r.err != "" || diff != "" {
			t.Errorf("inspect %s: exit code %d, %q (-want +got):\n%s", tt.slide.name, r.code, r.err, diff)
		}
	}
}

// TestInspectJSON compares the JSON output: an unknown value is null, and lists are never
// null.
func TestInspectJSON(t *testing.T) {
	t.Parallel()
	level := func(width, height, columns, rows, downsample, tile float64) map[string]any {
		return map[string]any{
			"width": width, "height": height, "tile_width": tile, "tile_height": tile, "columns": columns, "rows": rows,
			"downsample": downsample, "codec": "JPEG",
		}
	}
	for _, tt := range []struct {
		slide *slideFile
		want  map[string]any
	}{
		{philips, map[string]any{
			"format": "philips", "vendor": "PHILIPS", "width": 2560., "height": 2048., "max_zoom": 3., "mpp_x": 0.25, "mpp_y": 0.25,
			"objective_power": 40., "barcode": "S-12", "associated": []any{"label", "macro"}, "profile": nil,
			"levels": []any{level(2560, 2048, 5, 4, 1, 512), level(1280, 1024, 3, 2, 2, 512), level(640, 512, 2, 1, 4, 512), level(320, 256, 1, 1, 8, 512)},
		}},
		{plain, map[string]any{
			"format": "generic", "vendor": nil, "width": 900., "height": 700., "max_zoom": 2., "mpp_x": nil, "mpp_y": nil,
			"objective_power": nil, "barcode": nil, "associated": []any{}, "profile": nil,
			"levels": []any{level(900, 700, 4, 3, 1, 256), level(225, 175, 1, 1, 4, 256)},
		}},
	} {
		r := command(t, "inspect", tt.slide.file(t), "--json")
		var got map[string]any
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK || r.err != "" {
			t.Fatalf("inspect %s --json: %v, %v", tt.slide.name, r, err)
		}
		if p, ok := got["properties"].(map[string]any); !ok || tt.slide == philips && p["philips.DICOM_MANUFACTURER"] != "PHILIPS" {
			t.Errorf("inspect %s --json: properties %v", tt.slide.name, got["properties"])
		}
		delete(got, "properties")
		tt.want["size"] = float64(tt.slide.info.Size)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("inspect %s --json (-want +got):\n%s", tt.slide.name, diff)
		}
	}
}

// located matches the offset of a damage and its tag.
var located = regexp.MustCompile(`\((TIFF tag (\d+) \w+, )?at byte (\d+)\)`)

// TestInspectDamages inspects every class of damage: the error has its offset, and its tag
// if it belongs to one.
func TestInspectDamages(t *testing.T) {
	t.Parallel()
	structural := map[string]bool{} // in the header or the chain of directories: of no tag
	for _, name := range []string{
		"empty", "one-byte", "cut-in-header", "cut-in-tiles", "cut-in-directory", "cut-in-description", "cut-in-arrays", "zeros", "zeros-behind-header",
		"loop-to-itself", "loop-to-first", "next-beyond-end", "directory-in-header", "no-fields", "all-fields", "jpeg", "text",
	} {
		structural[name] = true
	}
	paths := damaged(t)
	for _, d := range synth.Damages {
		path := paths[d.Name]
		r := command(t, "inspect", path)
		words := ""
		switch d.Want {
		case synth.Broken:
			words = path + " is broken: "
		case synth.Unsupported:
			words = path + " is not a supported slide: "
		case synth.Ready:
			if r.code != exitOK || r.err != "" {
				t.Errorf("%s (%s): %v, want exit code 0", d.Name, d.Words, r)
			}
			continue
		}
		if r.code != exitFile || !strings.HasPrefix(r.err, "ptiffstore: "+words) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s (%s): %v, want exit code %d and one line of %q", d.Name, d.Words, r, exitFile, words)
		}
		if m := located.FindStringSubmatch(r.err); m == nil || (m[2] == "") != structural[d.Name] {
			t.Errorf("%s (%s): %q, want the offset and, unless it is structural (%v), the tag", d.Name, d.Words, r.err, structural[d.Name])
		}
	}
}

// TestNoFile runs every command that reads a file on a missing file, a folder and a device.
func TestNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		path string
		code int
		want string
	}{
		{filepath.Join(dir, "none.tiff"), exitFailure, "no such file or directory"},
		{dir, exitFile, "contains no DICOM whole-slide image"},
		{"/dev/null", exitFailure, "is not a regular file"},
	} {
		for _, args := range [][]string{{"inspect", tt.path}, {"tile", tt.path, "0", "0", "0"}, {"associated", tt.path, "label"}, {"preview", tt.path}} {
			r := command(t, args...)
			if r.code != tt.code || r.out != "" || !strings.Contains(r.err, tt.path) || !strings.Contains(r.err, tt.want) {
				t.Errorf("%s %s: %v, want exit code %d and %q", args[0], tt.path, r, tt.code, tt.want)
			}
		}
	}
}
