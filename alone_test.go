package ptiffstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlone checks that the packages that the Makefile calls ALONE start no goroutines, neither
// themselves nor in their tests: they are not tested with the race detector.
func TestAlone(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ALONE := (.+)$`).FindSubmatch(makefile)
	if found == nil {
		t.Fatal("the Makefile has no ALONE")
	}
	for _, dir := range strings.Fields(string(found[1])) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files: %v", dir, err)
		}
		for _, file := range files {
			for _, at := range concurrent(t, file) {
				t.Errorf("%s: concurrent code: take %s out of ALONE in the Makefile", at, dir)
			}
		}
	}
}

// concurrent returns the places of go statements and of imports of sync in a file.
func concurrent(t *testing.T, file string) []token.Position {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var places []token.Position
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			places = append(places, set.Position(n.Pos()))
		case *ast.ImportSpec:
			if strings.Trim(n.Path.Value, `"`) == "sync" || strings.Contains(n.Path.Value, "errgroup") {
				places = append(places, set.Position(n.Pos()))
			}
		}
		return true
	})
	return places
}
