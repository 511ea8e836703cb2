package taskhandler

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

// logStart adds the first line to the log of a task.
func logStart(t *task.Task, a task.Args) {
	what := map[string]string{
		task.SyncStore: "scanning the store", task.ResyncStore: "scanning the store, inspecting each file again", task.VerifyStore: "reading the files again",
		task.ImportFile: "importing", task.HashImage: "computing digests", task.ReadBarcode: "reading barcodes",
		task.MakePreviews: "rendering previews", task.ConvertImage: "converting the image to a pyramid", task.PackImage: "packing", task.MoveImage: "moving slides to a bucket", task.ExportDICOM: "exporting as DICOM",
	}[t.Kind]
	if a.DryRun {
		what += "; dry run: nothing will be changed"
	}
	if t.Attempt > 1 {
		what += fmt.Sprintf(" (attempt %d)", t.Attempt)
	}
	t.Logf("%s", what)
}

// logEnd adds the result to the log of a task: counts, but no names of files.
func logEnd(t *task.Task, result any, err error) {
	if line := summary(result); line != "" && err == nil {
		t.Logf("%s", line)
	}
	if errors.Is(err, catalog.ErrHeld) {
		t.Logf("another process works on the store, trying again in %s", heldPause)
	}
}

func summary(result any) string {
	switch r := result.(type) {
	case scan.Result:
		line := fmt.Sprintf("scanned %s: %s new, %s changed, %s moved, %s missing, %s back", plural(r.Count, "file"),
			thousands(r.Added), thousands(r.Updated), thousands(r.Moved), thousands(r.Missing), thousands(r.Returned))
		for _, part := range []struct {
			n    int
			what string
		}{{r.Arriving, "still arriving"}, {len(r.Failed), "not readable as slides"}, {r.Links, "symbolic links skipped"}, {r.Imported, "imported"}, {r.Quarantined, "quarantined"}} {
			if part.n > 0 {
				line += fmt.Sprintf(", %s %s", thousands(part.n), part.what)
			}
		}
		return line
	case verify.Result:
		return fmt.Sprintf("read %s, %s bytes: %s without damage, %s of them with a new digest, %s damaged, %s unreadable",
			plural(r.Checked+len(r.Damaged)+len(r.Unreadable), "file"), thousands(int(r.Bytes)), thousands(r.Checked), thousands(r.Hashed), thousands(len(r.Damaged)), thousands(len(r.Unreadable)))
	case Exported:
		return fmt.Sprintf("wrote %s", plural(r.Instances, "file"))
	case tally:
		return fmt.Sprintf("done with %s, %s failed", plural(r.Count, "image"), thousands(len(r.Failed)))
	case Packed:
		line := fmt.Sprintf("packed %s of %s: %s tiles, %s bytes", thousands(r.Count), plural(r.Images, "image"), thousands(int(r.Tiles)), thousands(int(r.Bytes)))
		for _, part := range []struct {
			n    int
			what string
		}{{int(r.Padded), "tiles padded"}, {int(r.Background), "tiles not stored"}, {int(r.Damaged), "damaged tiles"}, {len(r.Failed), "images failed"}} {
			if part.n > 0 {
				line += fmt.Sprintf(", %s %s", thousands(part.n), part.what)
			}
		}
		return line
	case convert.Result:
		return fmt.Sprintf("converted a %s image of %s × %s pixels to a pyramid of %s, %s bytes", r.Kind, thousands(r.Width), thousands(r.Height), plural(r.Levels, "level"), thousands(int(r.Bytes)))
	}
	return ""
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}

// thousands formats a count with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
