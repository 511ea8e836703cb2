package managed

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// DamagedSeries is the reason for a stored series whose files are not those that were imported.
const DamagedSeries = "files of the series have changed since they were stored (their SHA-256 differs), or are missing: restore them from a backup, or send the series again"

// CheckSeries compares the files of a stored series with its sidecar. Those whose size and
// mtime are the recorded ones count as unchanged, as everywhere, and the others are read.
// Files that the sidecar does not name are accepted: an import was interrupted that added
// them. The reason is why the series is damaged, "" if it is not.
func CheckSeries(ctx context.Context, st *catalog.Store, at string) (reason string, err error) {
	side, err := ReadSidecar(st, at)
	if err != nil || len(side.Instances) == 0 {
		return "", nil //nolint:nilerr // nothing is known about the files
	}
	d, files, err := membersOf(st, at)
	if err != nil {
		return "", err
	}
	defer d.Close()
	for _, want := range side.Instances {
		i := slices.IndexFunc(files, func(m source.Member) bool { return m.UID == want.UID })
		if i < 0 {
			return DamagedSeries, nil
		}
		m := files[i]
		if m.Identity.Size == want.Size && m.Identity.MTime == want.MTime {
			continue
		}
		if digest, err := hashMember(ctx, d, m); err != nil {
			return "", err
		} else if digest != want.SHA256 {
			return DamagedSeries, nil
		}
	}
	return "", nil
}

// membersOf returns the files of a series, and the open store, which the caller closes.
func membersOf(st *catalog.Store, at string) (*source.Directory, []source.Member, error) {
	d, err := source.OpenStore(st, at)
	if err != nil {
		return nil, nil, err
	}
	files, err := d.Members(at)
	if err != nil {
		d.Close()
		return nil, nil, err
	}
	return d, files, nil
}

// hashMember returns the SHA-256 of a file. The error is [ErrReplaced] if it has changed.
func hashMember(ctx context.Context, d *source.Directory, m source.Member) (string, error) {
	f, err := d.OpenFile(m.Path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest, err := fsx.SHA256(ctx, f, m.Identity.Size, nil)
	if err != nil {
		return "", err
	}
	if id, err := fsx.IdentifyFile(f); err != nil || id != m.Identity {
		return "", ErrReplaced
	}
	return digest, nil
}

// SeriesDigest returns the digest of a stored series from its sidecar, "" unless that names
// exactly its files, all unchanged.
func SeriesDigest(st *catalog.Store, at string) string {
	side, err := ReadSidecar(st, at)
	if err != nil || len(side.Instances) == 0 {
		return ""
	}
	d, files, err := membersOf(st, at)
	if err != nil {
		return ""
	}
	d.Close()
	if len(files) != len(side.Instances) {
		return ""
	}
	for _, m := range files {
		if !slices.ContainsFunc(side.Instances, func(i Instance) bool {
			return i.UID == m.UID && i.Size == m.Identity.Size && i.MTime == m.Identity.MTime
		}) {
			return ""
		}
	}
	return digestOf(side.Instances)
}

// completeInventory adds the files to the sidecar of a stored series that it does not name,
// after reading them.
func completeInventory(ctx context.Context, st *catalog.Store, im *catalog.Image, side *Sidecar) error {
	d, files, err := membersOf(st, im.Path)
	if err != nil {
		return nil //nolint:nilerr // it is missing
	}
	defer d.Close()
	list := slices.Clone(side.Instances)
	for _, m := range files {
		if m.UID == "" || slices.ContainsFunc(list, func(i Instance) bool { return i.UID == m.UID }) {
			continue // without an identifier, its header is damaged
		}
		digest, err := hashMember(ctx, d, m)
		if err != nil {
			return imageError(im.ID, "reading a file of the series", err)
		}
		list = append(list, Instance{m.UID, digest, m.Identity.Size, m.Identity.MTime})
	}
	side.Instances, side.Digest = list, digestOf(list)
	return nil
}

// OpenInstance opens the file of an instance of a stored series. The error satisfies
// [fsx.IsGone] if the store has no such instance.
func OpenInstance(st *catalog.Store, series, uid string) (*os.File, error) {
	e, err := EntryOf(st, path.Join(container(SeriesPath(series)), instanceName(uid)))
	if err != nil {
		return nil, fsx.WithoutPath(err)
	}
	defer e.Close()
	f, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open the instance in the store: %w", fsx.WithoutPath(err))
	}
	return f, nil
}

// instancesOf returns the files that the sidecar of a series names; nil for a file.
func instancesOf(st *catalog.Store, at string) []Instance {
	if !catalog.IsSeries(at) {
		return nil
	}
	side, err := ReadSidecar(st, at)
	if err != nil {
		return nil
	}
	return side.Instances
}
