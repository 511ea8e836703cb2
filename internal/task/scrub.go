package task

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// hidden stands in an error for the name of a file.
const hidden = "(file)"

// A scrubbed error has a text without names of files, which may be patients'.
type scrubbed struct {
	error
	text string
}

func (s scrubbed) Error() string { return s.text }
func (s scrubbed) Unwrap() error { return s.error }

// scrub takes out of an error's text the names of files that the system has put
// there. Functions should say what is wrong with an image by its id; this is for
// what they overlook.
func scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, name := range files(err) {
		if name != "" && name != "." {
			text = strings.ReplaceAll(text, name, hidden)
		}
	}
	if text == err.Error() {
		return err
	}
	return scrubbed{err, text}
}

// files returns the names in all errors that err is made of.
func files(err error) []string {
	var names []string
	switch e := err.(type) { //nolint:errorlint // each is looked at in its turn
	case *fs.PathError:
		names = append(names, e.Path)
	case *os.LinkError:
		names = append(names, e.Old, e.New)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // as above
		for _, e := range many.Unwrap() {
			names = append(names, files(e)...)
		}
	} else if e := errors.Unwrap(err); e != nil {
		names = append(names, files(e)...)
	}
	return names
}
