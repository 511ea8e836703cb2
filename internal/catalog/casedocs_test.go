package catalog_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// The patterns of docs/cases.md find what the tables under them say.
func TestDocumentedCasePatterns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/cases.md")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(string(text), "### Examples")
	examples, _, _ = strings.Cut(examples, "### Trying")
	found := regexp.MustCompile("(?s)```\n([^\n]+)\n```\n\n\\| (barcode|file|folder) \\|[^\n]*\n\\|[-|]+\\|\n((?:\\|[^\n]*\n)+)").FindAllStringSubmatch(examples, -1)
	if len(found) != 3 {
		t.Fatalf("%d examples, want 3", len(found))
	}
	for _, example := range found {
		pattern, err := catalog.NewCasePattern(example[1], "")
		if err != nil {
			t.Errorf("%s: %v", example[1], err)
			continue
		}
		for row := range strings.Lines(example[3]) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
			for i := range cells {
				cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
			}
			name := cells[0]
			var im catalog.Image
			switch example[2] {
			case "barcode":
				im.Barcode = &name
			case "file":
				im.FileName = name
			case "folder":
				im.Path, im.FileName = path.Join(name, "1.tiff"), "1.tiff"
			}
			var want catalog.CaseNames
			if !strings.HasPrefix(cells[1], "no case") {
				for i, to := range []*string{&want.Accession, &want.Part, &want.Block, &want.Stain} {
					if i+1 < len(cells) && cells[i+1] != "unknown" {
						*to = cells[i+1]
					}
				}
			}
			if got, _ := pattern.Find(&im); got != want {
				t.Errorf("%s: %s: found %+v, documented are %+v", example[1], name, got, want)
			}
		}
	}
}
