package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Some packages of npm have no license file. They have the license in their README, or only
// name it in package.json.

var (
	readme  = regexp.MustCompile(`(?i)^readme(\.md|\.markdown|\.txt)?$`)
	section = regexp.MustCompile(`(?im)^#+ *licen[cs]e(s|\(s\))?\b.*$`)
	heading = regexp.MustCompile(`(?m)^(# |## |## *$)`)
)

// npmTexts returns the license of the package in dir: its files, or a section of its README,
// or the usual text of the license that package.json names, with a note.
func npmTexts(dir string) ([]string, error) {
	list, err := texts(dir)
	if !errors.Is(err, errNone) {
		return list, err
	}
	text, err := fromReadme(dir)
	if err != nil {
		return nil, err
	}
	if text == "" {
		if text, err = declared(dir); err != nil {
			return nil, err
		}
	}
	return []string{text}, nil
}

// fromReadme returns the section of dir's README with the text of the license, or "".
func fromReadme(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if !readme.MatchString(f.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", err
		}
		text := strings.ReplaceAll(string(b), "\r\n", "\n")
		at := section.FindStringIndex(text)
		if at == nil {
			continue
		}
		text = text[at[1]:]
		if end := heading.FindStringIndex(text); end != nil {
			text = text[:end[0]]
		}
		if strings.Contains(text, "Copyright") && strings.Contains(text, "WARRANT") {
			return strings.TrimSpace(text), nil
		}
	}
	return "", nil
}

// declared returns the usual text of the license that dir's package.json names.
func declared(dir string) (string, error) {
	var p struct {
		License, Homepage string
		Author            any // a string, or an object with a name
	}
	if err := readJSON(filepath.Join(dir, "package.json"), &p); err != nil {
		return "", err
	}
	author, _ := p.Author.(string)
	if object, ok := p.Author.(map[string]any); ok {
		author, _ = object["name"].(string)
	}
	usual, known := usualTexts[p.License]
	if !known || author == "" {
		return "", fmt.Errorf("%s: %w: no file, nothing in its README, and its package.json declares %q by %q", filepath.Base(dir), errNone, p.License, author)
	}
	return fmt.Sprintf("The package holds no text of its licence. It declares %s as its licence and\n%s as its author. The usual text of that licence is:\n\n%s", p.License, author, usual), nil
}

// usualTexts are the short licenses that packages often declare only by name.
var usualTexts = map[string]string{
	"ISC": `Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY
AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.`,
	"MIT": `Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.`,
}
