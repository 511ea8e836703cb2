package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNpmTexts(t *testing.T) {
	granted := "Copyright (c) 2016 A. Turing\n\nNO WARRANTY."
	for name, c := range map[string]struct {
		files map[string]string
		begin string // of the text; "" if no license is found
	}{
		"file":     {map[string]string{"LICENSE": granted, "README.md": "# it\n"}, "Copyright (c) 2016"},
		"readme":   {map[string]string{"README.md": "# it\n\n## License(s)\n\n### ISC\n\n" + granted + "\n\n## More\n\nmore", "package.json": `{"license": "ISC"}`}, "### ISC\n\nCopyright"},
		"declared": {map[string]string{"Readme.md": "# it\n\n## License\n\nMIT", "package.json": `{"license": "MIT", "author": {"name": "A. Turing"}}`}, "The package holds no text of its licence. It declares MIT"},
		"nothing":  {map[string]string{"package.json": `{"author": "A. Turing"}`}, ""},
		"unknown":  {map[string]string{"package.json": `{"license": "SEE IT", "author": "A. Turing"}`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list, err := npmTexts(dir)
			if c.begin == "" {
				if !errors.Is(err, errNone) {
					t.Fatalf("%q, %v; want no licence", list, err)
				}
				return
			}
			if err != nil || len(list) != 1 || !strings.HasPrefix(list[0], c.begin) || strings.Contains(list[0], "more") && c.begin[0] == '#' {
				t.Errorf("%q, %v; want what begins with %q", list, err, c.begin)
			}
		})
	}
}
