package managed

import (
	"context"
	"errors"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// FindMoved updates an image with the path that its file was moved to, and reports
// whether the file exists. The caller holds the
// lock of the observations.
func (r *Recovery) FindMoved(ctx context.Context, im *catalog.Image) (bool, error) {
	for _, to := range r.otherPaths(im) {
		id, err := Identify(r.Store.Store, to)
		if to == "" || err != nil || to == im.Path || id.Size != im.Identity.Size || id.MTime != im.Identity.MTime {
			continue
		}
		if r.DryRun {
			return true, nil
		}
		_, err = relocate(ctx, r.Leased, im, to, id)
		return true, err
	}
	side := r.trashed(im.ID)
	if side != nil && side.DuplicateOf != "" && im.DeletedAt == nil && !r.DryRun {
		return true, r.Leased.Images.Drop(ctx, im.ID)
	}
	return r.joined(ctx, im)
}

// joined drops an image in staging all of whose files were added to the stored slide of their
// series, and reports whether it is one.
func (r *Recovery) joined(ctx context.Context, im *catalog.Image) (bool, error) {
	_, uid, ok := catalog.SplitSeries(im.Path)
	if !ok || !strings.HasPrefix(im.Path, Staging) || im.DeletedAt != nil {
		return false, nil
	}
	first, err := r.Leased.Images.ByPath(ctx, r.ID, SeriesPath(uid))
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	if err != nil || first.ID == im.ID || r.DryRun {
		return err == nil && first.ID != im.ID, err
	}
	if err := r.removeEmpty(container(im.Path)); err != nil {
		return false, imageError(im.ID, "removing the rest of an interrupted import", err)
	}
	return true, r.Leased.Images.Drop(ctx, im.ID)
}

// otherPaths are the paths at which an interrupted operation may have left the file of
// an image.
func (r *Recovery) otherPaths(im *catalog.Image) []string {
	list := []string{staged(im)}
	if _, uid, ok := catalog.SplitSeries(im.Path); ok {
		if im.Digest != nil {
			list = append(list, SeriesPath(uid))
		}
	} else if im.Digest != nil && len(*im.Digest) == 64 {
		list = append(list, SlidePath(*im.Digest))
	}
	for _, dir := range []string{Quarantine, Trash} {
		for _, name := range names(r.Store.Store, dir) {
			if imageIn(dir+name) == im.ID && (dir == Quarantine || im.DeletedAt != nil) {
				list = append(list, contained(r.Store.Store, dir+name))
			}
		}
	}
	return list
}

// trashed returns the sidecar of an image in the trash, nil if it has none.
func (r *Recovery) trashed(image string) *Sidecar {
	for _, name := range names(r.Store.Store, Trash) {
		if imageIn(Trash+name) == image {
			side, err := ReadSidecar(r.Store.Store, Trash+name)
			if err == nil {
				return side
			}
		}
	}
	return nil
}

// names returns the names in one of the folders of the root.
func names(st *catalog.Store, dir string) []string {
	f, err := fsx.OpenFolder(st.File(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1) // the next scan reads the rest
	return list
}

// imageIn returns the id of the image whose file or folder is at a path in staging, quarantine or
// trash, "" if the path is not that of an image.
func imageIn(path string) string {
	dir, name, _ := strings.Cut(path, "/")
	if strings.HasSuffix(name, ".json") && dir+"/" != Quarantine {
		return ""
	}
	switch dir + "/" {
	case Staging:
		id, ok := cutSuffix(name)
		return only(ok, id)
	case Quarantine:
		id, _, ok := strings.Cut(name, "-")
		return only(ok, id)
	case Trash:
		_, rest, ok := stamped(name)
		id, whole := cutSuffix(rest)
		return only(ok && whole, id)
	}
	return ""
}

// cutSuffix returns the name of a file or folder of an image without its suffix.
func cutSuffix(name string) (base string, ok bool) {
	if base, ok = strings.CutSuffix(name, tiffSuffix); ok {
		return base, true
	}
	return strings.CutSuffix(name, seriesSuffix)
}

// only returns s if it is ok as an id.
func only(ok bool, s string) string {
	if !ok || strings.HasPrefix(s, ".") {
		return ""
	}
	return s
}

// BelongsTo reports whether a file that was found under its digest belongs to the
// image: the image has no other file, or only the original of this copy, which is then
// removed. For a series the digest is "".
func (r *Recovery) BelongsTo(ctx context.Context, im *catalog.Image, digest string) (bool, error) {
	if im.StoreID != r.ID || digest != "" && im.Digest != nil && *im.Digest != digest {
		return false, nil
	}
	id, err := Identify(r.Store.Store, im.Path)
	if !fsx.IsGone(err) {
		if err != nil || im.Digest == nil || !strings.HasPrefix(im.Path, Incoming) || !id.Same(im.Identity) {
			return false, nil
		}
		if !r.DryRun {
			if err := unlinkSame(r.Store.Store, im.Path, im.Identity); err != nil {
				return false, imageError(im.ID, "removing the original file after copying it", err)
			}
		}
	}
	if im.DeletedAt == nil || r.DryRun {
		return true, nil
	}
	im.DeletedAt = nil // it was being restored from the trash
	return true, r.Leased.Images.Restore(ctx, im.ID)
}
