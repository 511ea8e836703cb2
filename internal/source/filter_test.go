package source

import "testing"

func TestFilter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		include, exclude []string
		yes, no          []string
	}{
		{
			"what slides are called", nil, nil,
			[]string{"a.tiff", "a.tif", "A.TIFF", "b/c d/a.ptif", "a.svs", "a.btf", "\xff\xfe.tiff", "ä/ö.Tif", "a~b.tiff", "a.tmp.tiff"},
			[]string{"a.txt", "tiff", "a.tiff.txt", ".tiff", ""},
		},
		{
			"what is being copied", nil, nil,
			nil,
			[]string{".a.tiff.x8Kd2a", "._a.tiff", "a.tiff.part", "a.tiff.filepart", "a.tiff.tmp", "~a.tiff", "~$a.tiff", "a.tiff~", "a.tiff.1234.partial"},
		},
		{
			"such endings even if asked for",
			[]string{"*"},
			nil,
			[]string{"a", "a.dat"},
			[]string{"a.part", ".a", "a.tmp"},
		},
		{
			"where systems keep house", nil, nil,
			[]string{"recycle/a.tiff"},
			[]string{"@eaDir/a.tiff", "b/$RECYCLE.BIN/a.tiff", "#recycle/a.tiff", ".snapshot/daily/a.tiff", "lost+found/a.tiff"},
		},
		{
			"patterns of names",
			[]string{"HE_*.tiff"},
			[]string{"*_test.tiff", "old"},
			[]string{"he_1.tiff", "2026/HE_1.tiff"},
			[]string{"1.tiff", "he_1_test.tiff", "old/he_1.tiff", "2026/Old/he_1.tiff"},
		},
		{
			"patterns of paths",
			[]string{"2026/**/*.tiff", "/ready/*.tif"},
			[]string{"**/trash/**"},
			[]string{"2026/a.tiff", "2026/1/2/a.tiff", "ready/a.tif"},
			[]string{"a.tiff", "2025/a.tiff", "x/2026/a.tiff", "ready/x/a.tif", "2026/trash/a.tiff", "2026/1/trash/2/a.tiff"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFilter(tt.include, tt.exclude)
			for _, p := range tt.yes {
				if !f.Allows(p) {
					t.Errorf("Allows(%q) = false, want true", p)
				}
			}
			for _, p := range tt.no {
				if f.Allows(p) {
					t.Errorf("Allows(%q) = true, want false", p)
				}
			}
		})
	}
}

func TestCheckPatterns(t *testing.T) {
	t.Parallel()
	if err := CheckPatterns([]string{"*.tiff", "a/**/b", "[ab]?"}); err != nil {
		t.Errorf("CheckPatterns: %v, want none", err)
	}
	for _, p := range []string{"[a", `a\`, "a/[/b"} {
		if err := CheckPatterns([]string{"*", p}); err == nil {
			t.Errorf("CheckPatterns(%q): no error, want one", p)
		}
	}
}
