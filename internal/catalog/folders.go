package catalog

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// inIncoming is the prefix of paths in the incoming folder of a managed store.
const inIncoming = "incoming/"

// File returns the absolute path of an image's file. In a managed store a path that begins
// with "incoming/" is below the incoming folder; all others are below the root. It is ""
// unless the store is a [Directory]: images of other kinds are not files.
func (s *Store) File(path string) string {
	if s.Kind != Directory && s.Kind != "" {
		return ""
	}
	if rest, ok := strings.CutPrefix(path, inIncoming); ok && s.Mode == Managed && s.Incoming != "" {
		return filepath.Join(s.Incoming, rest)
	}
	return filepath.Join(s.Root, path)
}

// settle normalizes the folders of a store, and rejects invalid ones. It checks paths only
// and does not follow symbolic links. The addresses of databases and buckets are for packages
// mongodb and bucket to check.
func (s *Store) settle() error {
	if s.Kind != Directory && s.Mode == InPlace || s.ManagedBucket() {
		return s.settleRemote()
	}
	if s.Mode != InPlace && s.Mode != Managed {
		return fmt.Errorf("%w: a store's mode is %q or %q, not %q", ErrInvalid, InPlace, Managed, clean(string(s.Mode)))
	}
	if s.Kind != Directory {
		return fmt.Errorf("%w: a store with the root %s is only read: its mode is %q", ErrInvalid, clean(s.Root), InPlace)
	}
	if s.PasswordFile != "" {
		return fmt.Errorf("%w: only a store in a MongoDB database has a password file", ErrInvalid)
	}
	if !filepath.IsAbs(s.Root) {
		return fmt.Errorf("%w: the root %q of a store is not absolute: give the whole path, from / on", ErrInvalid, clean(s.Root))
	}
	s.Root = filepath.Clean(s.Root)
	switch {
	case s.Mode == InPlace && s.Incoming != "":
		return fmt.Errorf("%w: a store in place has no incoming folder: its files stay where they are", ErrInvalid)
	case s.Mode == InPlace:
		return nil
	case s.Incoming == "":
		s.Incoming = filepath.Join(s.Root, "incoming")
	case !filepath.IsAbs(s.Incoming):
		return fmt.Errorf("%w: the incoming folder %q is not absolute: give the path from / on", ErrInvalid, clean(s.Incoming))
	}
	s.Incoming = filepath.Clean(s.Incoming)
	if within(s.Root, s.Incoming) {
		return fmt.Errorf("%w: the root of the store lies in its own incoming folder: its slides would be imported again", ErrInvalid)
	}
	for _, kept := range []string{"slides", "staging", "quarantine", "trash"} {
		if within(s.Incoming, filepath.Join(s.Root, kept)) {
			return fmt.Errorf("%w: the incoming folder lies in %q, where the store keeps its own files: choose another", ErrInvalid, kept)
		}
	}
	return nil
}

// settleRemote normalizes the root of a store that is not a directory.
func (s *Store) settleRemote() error {
	if s.Incoming != "" {
		return fmt.Errorf("%w: only a managed store in a folder has an incoming folder", ErrInvalid)
	}
	if s.Kind == MongoDB {
		if s.PasswordFile != "" && !filepath.IsAbs(s.PasswordFile) {
			return fmt.Errorf("%w: the password file %q is not absolute: give the path from / on", ErrInvalid, clean(s.PasswordFile))
		}
		_, rest, _ := strings.Cut(s.Root, "://")
		if strings.Contains(rest[:max(0, strings.LastIndexByte(rest, '@'))], ":") {
			return fmt.Errorf("%w: the root contains a password, which others could read: write mongodb://USER@HOST/DATABASE, and the password to a file", ErrInvalid)
		}
		return nil
	}
	if s.PasswordFile != "" {
		return fmt.Errorf("%w: only a store in a MongoDB database has a password file", ErrInvalid)
	}
	if s.Kind == S3 {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(s.Root, bucketScheme), "/")
		if strings.Contains(bucket, "@") {
			return fmt.Errorf("%w: the root contains credentials, which others could read: write s3://BUCKET/PREFIX, and give the credentials to the process", ErrInvalid)
		}
		return nil
	}
	dir := strings.TrimPrefix(s.Root, dumpScheme)
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: the folder of the dump %q is not absolute: write %s/PATH with three slashes", ErrInvalid, clean(dir), dumpScheme)
	}
	s.Root = dumpScheme + filepath.Clean(dir)
	return nil
}

// DumpFolder returns the folder of a [Dump], "" for other kinds.
func (s *Store) DumpFolder() string {
	if s.Kind != Dump {
		return ""
	}
	return strings.TrimPrefix(s.Root, dumpScheme)
}

// apart returns [ErrConflict] if a folder of the store equals, contains or is contained in
// one of another store on the same host: the files in it would be in both. The folder of a
// dump has no files of slides: it may be in a folder of slides, or contain another dump.
func (t *tx) apart(ctx context.Context, s *Store) error {
	others, _, err := t.h.stores(ctx, t, ` AND s.id <> $1`, s.ID)
	if err != nil {
		return err
	}
	for i := range others {
		o := &others[i]
		if o.Host != s.Host && o.Host != "" && s.Host != "" {
			continue
		}
		for _, mine := range s.folders() {
			for _, theirs := range o.folders() {
				if mine == theirs || s.Kind == o.Kind && s.nests() && (within(mine, theirs) || within(theirs, mine)) {
					return fmt.Errorf("%w: %q overlaps with %q of the store %s (%s): a file may lie in one store only",
						ErrConflict, clean(mine), clean(theirs), o.ID, clean(o.Label))
				}
			}
		}
	}
	return nil
}

// nests reports whether a store whose root begins with that of another has the same slides.
func (s *Store) nests() bool { return s.Kind == Directory || s.Kind == S3 }

// folders returns the folders with files of the store.
func (s *Store) folders() []string {
	if s.Incoming == "" {
		return []string{s.Root}
	}
	return []string{s.Root, s.Incoming}
}

// within reports whether path is dir or below it. Both are clean.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
