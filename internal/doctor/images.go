package doctor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// askTime limits the time of a request to the database of a store.
	askTime = 5 * time.Second
	// indexSample is how many images are checked for an index.
	indexSample = 20
)

// database checks whether the images of a store can be read that is not a folder.
func database(ctx context.Context, n *notes, s *catalog.Store) {
	if s.PasswordFile != "" {
		password(n, s.PasswordFile)
	}
	sources := &source.Pool{Indexes: os.DevNull, Timeout: askTime} // dumps are not indexed
	defer sources.Close()
	src, err := sources.Open(s)
	if err == nil {
		defer src.Close()
		_, err = src.Root()
	}
	if err != nil {
		n.wrong("check its URL, user and password, and that the server runs or the disk is mounted; nothing is marked missing meanwhile", "%s: %v", s.Root, err)
		return
	}
	n.ok("%s can be read", s.Root)
	if s.Kind == catalog.MongoDB {
		indexes(ctx, n, src)
	}
}

// password checks the password file of a store.
func password(n *notes, path string) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o007 != 0 {
		n.warn("chmod o= "+path, "every user of this host can read or change its password file %s", path)
	}
	if _, err := source.ReadSecret(path); err != nil {
		n.wrong(fmt.Sprintf("write the password to its first line, and make it readable for user %d", os.Geteuid()), "%s: %v", path, err)
	}
}

// indexes checks whether tiles are found by an index.
func indexes(ctx context.Context, n *notes, src source.Source) {
	d, ok := src.(interface {
		Indexed(ctx context.Context, path string) (bool, error)
	})
	if !ok {
		return
	}
	var paths []string
	if _, err := src.List(ctx, source.ListOptions{Item: func(i source.Item) {
		if len(paths) < indexSample && i.Identity.Size > 0 {
			paths = append(paths, i.Path)
		}
	}}); err != nil {
		n.unknown("", "its images cannot be listed: %v", fsx.WithoutPath(err))
		return
	}
	without := ""
	missing := 0
	for _, path := range paths {
		switch indexed, err := d.Indexed(ctx, path); {
		case err != nil:
			n.unknown("", "whether its tiles have an index is unknown: %v", err)
			return
		case !indexed:
			missing++
			without = path
		}
	}
	if missing > 0 {
		n.warn(`in the shell of MongoDB, for each image: db.getCollection("`+without+`").createIndex({name: 1})`,
			"%d of %d checked images have no index by name, so the server reads all tiles of the image for each tile", missing, len(paths))
	}
}
