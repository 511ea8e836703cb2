package managed

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTrouble(t *testing.T) {
	t.Parallel()
	_, err := os.Open("/nowhere/SECRET.tiff")
	link := os.Rename("/nowhere/SECRET.tiff", "/nowhere/SECRET2.tiff")
	for _, err := range []error{err, link, errors.Join(link, err)} {
		if got := imageError("id", "opening", err); strings.Contains(got.Error(), "SECRET") || !errors.Is(got, unix.ENOENT) {
			t.Errorf("%v, want no such file and no name", got)
		}
	}
	if err := imageError("id", "opening", nil); err != nil {
		t.Errorf("of none: %v", err)
	}
}
