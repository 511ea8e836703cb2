package dicom

import (
	"strings"
	"testing"
)

// An identifier leads to its image, and those of other roles, images and contents differ.
func TestImageUID(t *testing.T) {
	ids := []string{"aaaaaaaaaaaaaaaaaaaaaaaaaa", "7777777777777777777777777a", "qsnnj3jsmaxmvynku2dkpf2smi", "qsnnj3jsmaxmvynku2dkpf2smj"}
	seen := map[string]string{}
	for _, id := range ids {
		for _, role := range []string{"study", "series", "level 0", "level 1"} {
			uid := ImageUID(id, role)
			if prefix, ok := ImagePrefix(uid); !ok || !strings.HasPrefix(id, prefix) || len(prefix) != idPrefix {
				t.Errorf("%s %s: %s leads to %q", id, role, uid, prefix)
			}
			if other := seen[uid]; other != "" {
				t.Errorf("%s is of %s and of %s", uid, other, id+role)
			}
			if uid != ImageUID(id, role) || len(uid) > 44 {
				t.Errorf("%s is not stable, or too long", uid)
			}
			seen[uid] = id + role
		}
	}
	if got, want := StudyUID("qsnnj3jsmaxmvynku2dkpf2smi"), ImageUID("qsnnj3jsmaxmvynku2dkpf2smi", "study"); got != want {
		t.Errorf("study %s, want %s", got, want)
	}
	if a, b := ImageUID("a name", "study"), ImageUID("another name", "study"); a == b {
		t.Error("identifiers of other ids are the same")
	}
	for _, uid := range []string{"", "1.2.3", "2.25.", "2.25.0", "2.25.01", "2.25.x", "2.25.-1", "2.25.1", "2.25." + strings.Repeat("9", 39), "2.25." + strings.Repeat("9", 300)} {
		if prefix, ok := ImagePrefix(uid); ok {
			t.Errorf("%s leads to %q", uid, prefix)
		}
	}
}
