package storeroot

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// errOutsideURLs is an [ErrOutside] for a URL.
var errOutsideURLs = fmt.Errorf("%w; to allow the databases of a server, write mongodb://HOST:PORT/ there", ErrOutside)

// errOutsideBuckets is an [ErrOutside] for a bucket.
var errOutsideBuckets = errors.New("the bucket is outside those in which stores are allowed: write s3://BUCKET or s3://BUCKET/PREFIX to store_roots in the configuration, or --store-root on the command line")

// CheckRoot is [Roots.Check] for the root of a store, which may also be the URL of a database or
// bucket, or of a dump in one of the folders. It returns the URL in its canonical form.
func (r Roots) CheckRoot(root string) (string, error) {
	if !source.IsURL(root) {
		return r.Check(root)
	}
	root, err := source.CheckRoot(root)
	if err != nil {
		return "", err
	}
	s := catalog.Store{Root: root, Kind: catalog.KindOf(root)}
	if s.Kind == catalog.Dump {
		if r.contain(resolve(s.DumpFolder())) {
			folder, err := r.Check(s.DumpFolder())
			if err != nil {
				return "", err
			}
			return "dump://" + folder, nil
		}
		root = "dump://" + resolve(s.DumpFolder())
	}
	for _, permitted := range r {
		if source.IsURL(permitted) && source.Within(root, permitted) {
			return root, nil
		}
	}
	if s.Kind == catalog.S3 {
		return "", &outside{errOutsideBuckets}
	}
	return "", errOutsideURLs
}

// outside is an [ErrOutside] with other words.
type outside struct{ error }

// Is reports whether target is [ErrOutside].
func (*outside) Is(target error) bool { return target == ErrOutside }

// CheckPasswordFile returns the path of a password file in or below one of the folders:
// otherwise a client could make the server send the contents of any file to a database.
func (r Roots) CheckPasswordFile(path string) (string, error) {
	if !isFull(path) {
		return "", errors.New("give the whole path, from / on")
	}
	if !r.contain(resolve(path)) {
		return "", ErrOutside
	}
	if _, err := source.ReadSecret(path); err != nil {
		return "", err
	}
	return filepath.Clean(path), nil
}
