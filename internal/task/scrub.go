package task

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// hidden replaces the name of a file in an error.
const hidden = "(file)"

// A scrubbed error has a text without file names, which may contain names of patients.
type scrubbed struct {
	error
	text string
}

func (s scrubbed) Error() string { return s.text }
func (s scrubbed) Unwrap() error { return s.error }

// scrub removes the file names that the operating system has put into an error's text.
// Functions should name an image by its id; this is for errors where they do not.
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

// files returns the file names in all errors that err wraps.
func files(err error) []string {
	var names []string
	switch e := err.(type) { //nolint:errorlint // each error of the chain is checked
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
