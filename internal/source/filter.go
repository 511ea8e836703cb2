package source

import (
	"fmt"
	"path"
	"strings"
)

// DefaultInclude lists the names of pyramidal TIFFs and DICOM files, in any case.
var DefaultInclude = []string{"*.tif", "*.tiff", "*.ptif", "*.ptiff", "*.btf", "*.tf8", "*.svs", "*.dcm"}

// unfinished are the suffixes that programs give to files while they copy them.
var unfinished = []string{
	".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", ".swp", ".ffs_tmp", ".bak", "~",
}

// housekeeping are folders in which file servers and systems keep deleted files,
// earlier versions and previews.
var housekeeping = []string{
	"$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle", "@recycle", "#snapshot", "~snapshot",
}

// A Filter selects slides by name. A pattern without a slash is matched against the
// name of a file and of each folder in its path; one with slashes against the path
// below the root, where "**" stands for any number of folders. Case is ignored.
type Filter struct {
	include, exclude []string
}

// NewFilter returns a filter of patterns. Without patterns to include it selects
// [DefaultInclude].
func NewFilter(include, exclude []string) Filter {
	if len(include) == 0 {
		include = DefaultInclude
	}
	lower := func(list []string) []string {
		out := make([]string, len(list))
		for i, p := range list {
			out[i] = strings.Trim(strings.ToLower(p), "/")
		}
		return out
	}
	return Filter{lower(include), lower(exclude)}
}

// File reports whether the file at p, relative to the root, may be a slide.
func (f Filter) File(p string) bool {
	name := strings.ToLower(path.Base(p))
	if hidden(name) {
		return false
	}
	for _, end := range unfinished {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	p = strings.ToLower(p)
	return matchAny(f.include, p, name) && !matchAny(f.exclude, p, name)
}

// Directory reports whether the directory at p is searched for slides.
func (f Filter) Directory(p string) bool {
	name := strings.ToLower(path.Base(p))
	if hidden(name) {
		return false
	}
	for _, h := range housekeeping {
		if name == h {
			return false
		}
	}
	return !matchAny(f.exclude, strings.ToLower(p), name)
}

// Allows reports whether the filter selects the file at p and every directory on its way.
func (f Filter) Allows(p string) bool {
	return (!strings.Contains(p, "/") || f.Directories(path.Dir(p))) && f.File(p)
}

// Directories reports whether the filter selects the directory at p and every one on its way.
func (f Filter) Directories(p string) bool {
	for i := range len(p) {
		if p[i] == '/' && !f.Directory(p[:i]) {
			return false
		}
	}
	return p == "" || f.Directory(p)
}

// hidden reports names that begin with a dot, such as temporary files of rsync and
// macOS, or with a tilde, such as lock files of office programs and temporary files of
// SMB clients.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") }

func matchAny(patterns []string, p, name string) bool {
	for _, pat := range patterns {
		if !strings.Contains(pat, "/") {
			if ok, err := path.Match(pat, name); ok && err == nil {
				return true
			}
		} else if matchPath(strings.Split(pat, "/"), strings.Split(p, "/")) {
			return true
		}
	}
	return false
}

// matchPath matches folder by folder.
func matchPath(pat, p []string) bool {
	for len(pat) > 0 {
		if pat[0] == "**" {
			for i := range len(p) + 1 {
				if matchPath(pat[1:], p[i:]) {
					return true
				}
			}
			return false
		}
		if len(p) == 0 {
			return false
		}
		if ok, err := path.Match(pat[0], p[0]); !ok || err != nil {
			return false
		}
		pat, p = pat[1:], p[1:]
	}
	return len(p) == 0
}

// CheckPatterns reports the first malformed pattern, which would match nothing.
func CheckPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("pattern %q: a bracket or backslash is not closed", p)
		}
	}
	return nil
}
