package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
)

// IsURL reports whether the root of a store is written as a URL: it is not the path of a
// folder.
func IsURL(root string) bool {
	scheme, _, ok := strings.Cut(root, "://")
	return ok && scheme != "" && !strings.ContainsAny(scheme, "/.")
}

// CheckRoot returns the canonical form of the root of a store that is a URL. The error says
// what to write instead, and contains no password.
func CheckRoot(root string) (string, error) {
	switch catalog.KindOf(root) {
	case catalog.MongoDB:
		a, err := mongodb.ParseAddress(root)
		return a.String(), err
	case catalog.Dump:
		dir := strings.TrimPrefix(root, "dump://")
		if !filepath.IsAbs(dir) || strings.ContainsRune(dir, 0) {
			return "", errors.New("the folder of a dump is written with three slashes: dump:///FOLDER")
		}
		return "dump://" + filepath.Clean(dir), nil
	case catalog.S3:
		a, err := bucket.ParseAddress(root)
		if err != nil {
			return "", err
		}
		return a.String(), nil
	}
	scheme, _, _ := strings.Cut(root, "://")
	return "", fmt.Errorf("%q is not a kind of store: use a folder, s3://BUCKET/PREFIX, mongodb://USER@HOST/DATABASE or dump:///FOLDER", scheme+"://")
}

// CheckSecret checks whether the root of a store and its password file fit.
func CheckSecret(root, file string) error {
	if file == "" {
		return nil
	}
	if catalog.KindOf(root) != catalog.MongoDB {
		return errors.New("only a store in a MongoDB database has a password file")
	}
	if a, err := mongodb.ParseAddress(root); err == nil && a.User == "" {
		return errors.New("a password needs a user: write mongodb://USER@HOST/DATABASE")
	}
	return nil
}

// Name returns a name for a store without a label: that of its folder, database, or bucket and
// prefix.
func Name(root string) string {
	if a, err := bucket.ParseAddress(root); err == nil {
		return strings.TrimSuffix(a.Bucket+"/"+a.Prefix, "/")
	}
	if a, err := mongodb.ParseAddress(root); err == nil {
		return a.Database
	}
	return filepath.Base(root)
}

// Within reports whether a canonical root is one that a URL permits: it is the same, or one
// of the databases of its servers if it ends with a slash, or a folder below its folder, or a
// prefix in its bucket and below its own. A database without a user permits all users.
func Within(root, permitted string) bool {
	if catalog.KindOf(root) != catalog.KindOf(permitted) {
		return false
	}
	switch catalog.KindOf(root) {
	case catalog.S3:
		a, err := bucket.ParseAddress(permitted)
		return err == nil && strings.HasPrefix(root, a.String())
	case catalog.Dump:
		rel, err := filepath.Rel(strings.TrimPrefix(permitted, "dump://"), strings.TrimPrefix(root, "dump://"))
		return err == nil && filepath.IsLocal(rel)
	}
	scheme, rest, _ := strings.Cut(root, "://")
	allowed, ok := strings.CutPrefix(permitted, scheme+"://")
	if !ok {
		return false
	}
	if !strings.Contains(allowed, "@") {
		rest = rest[strings.LastIndexByte(rest, '@')+1:]
	}
	if !strings.Contains(allowed, "/") {
		allowed += "/"
	}
	if strings.HasSuffix(allowed, "/") {
		return strings.HasPrefix(rest, allowed)
	}
	name, _, _ := strings.Cut(rest, "?")
	return name == allowed || rest == allowed
}

// CheckPermitted checks a URL that permits roots: see [Within].
func CheckPermitted(url string) error {
	switch catalog.KindOf(url) {
	case catalog.MongoDB:
		_, rest, _ := strings.Cut(url, "://")
		if hosts, database, _ := strings.Cut(rest, "/"); database == "" {
			url = strings.TrimSuffix(url, "/") + "/any"
			if hosts == "" {
				return errors.New("it names no server")
			}
		}
	}
	_, err := CheckRoot(url)
	return err
}
