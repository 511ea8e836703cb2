package catalog

import (
	"path"
	"strings"
)

// seriesMark begins the last part of the path of a series of DICOM files. No file of a store
// has such a name: stores ignore names that begin with it.
const seriesMark = "~"

// SeriesPath returns the path of the image whose files are those of a DICOM series in a folder.
// It does not depend on the names of the files.
func SeriesPath(dir, uid string) string { return path.Join(dir, seriesMark+uid) }

// SplitSeries returns the folder of a series and its SeriesInstanceUID. Ok is false for the
// paths of other images, which are those of their files.
func SplitSeries(p string) (dir, uid string, ok bool) {
	dir, name := path.Split(p)
	uid, ok = strings.CutPrefix(name, seriesMark)
	if !ok || !IsUID(uid) {
		return "", "", false
	}
	return strings.TrimSuffix(dir, "/"), uid, true
}

// IsSeries reports whether the files of the image at a path are a DICOM series.
func IsSeries(p string) bool {
	_, _, ok := SplitSeries(p)
	return ok
}

// IsUID reports whether s is a unique identifier of DICOM: at most 64 digits and periods
// (PS3.5 section 9.1). Leading zeros are accepted, as files have them.
func IsUID(s string) bool {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789.") != "" {
		return false
	}
	return s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}
