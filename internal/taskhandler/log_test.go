package taskhandler

import (
	"testing"

	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		result any
		want   string
	}{
		{scan.Result{Count: 1204, Added: 3, Updated: 1}, "scanned 1,204 files: 3 new, 1 changed, 0 moved, 0 missing, 0 back"},
		{
			scan.Result{Count: 1, Missing: 2, Arriving: 4, Failed: []scan.Failure{{Image: "i", Reason: "/slides/Jane Doe.tiff: no slide"}}},
			"scanned 1 file: 0 new, 0 changed, 0 moved, 2 missing, 0 back, 4 still being written, 1 not readable as slides",
		},
		{verify.Result{Checked: 1000, Hashed: 2, Bytes: 1234567}, "read 1,000 files, 1,234,567 bytes: 1,000 without damage, 2 of them with a new digest, 0 damaged, 0 unreadable"},
		{tally{Count: 12, Failed: []scan.Failure{{Image: "i", Reason: "/slides/Jane Doe.tiff"}}}, "done with 12 images, 1 failed"},
		{convert.Result{Kind: "PNG", Width: 20000, Height: 999, Levels: 1, Bytes: 5}, "converted a PNG image of 20,000 × 999 pixels to a pyramid of 1 level, 5 bytes"},
		{nil, ""},
	} {
		if got := summary(tt.result); got != tt.want {
			t.Errorf("summary(%+v):\n got %s\nwant %s", tt.result, got, tt.want)
		}
	}
}
