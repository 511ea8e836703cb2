package managed

import (
	"context"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// duplicate adds the file's name as an alias to the image that the store has of these
// bytes, after verifying that image's file, and moves the new file to the trash. If the
// existing file is damaged, the new file replaces it.
func (m *importer) duplicate(ctx context.Context, first *catalog.Image) error {
	at := first.Path
	whole, err := m.verified(ctx, at)
	if err != nil {
		return err
	}
	first, err = m.c.Images.Update(ctx, first.ID, func(im *catalog.Image) error {
		im.Aliases = mergedAliases(im, m.im)
		if now := m.s.Now().UTC(); whole {
			im.VerifiedAt = &now
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !whole {
		if err := m.clear(at, first.ID); err != nil {
			return err
		}
		return m.place(ctx, at, first)
	}
	if err := WriteSidecar(m.s.Store, at, SidecarOf(first)); err != nil {
		return imageError(m.im.ID, "writing a sidecar", DiskFull(err))
	}
	return m.drop(ctx, first.ID)
}

// mergedAliases are the aliases of an image and the names of another.
func mergedAliases(im, other *catalog.Image) []string {
	list := im.Aliases
	for _, n := range append([]string{other.FileName}, other.Aliases...) {
		if n != im.FileName && !slices.Contains(list, n) {
			list = append(slices.Clip(list), n)
		}
	}
	return list
}

// verified reports whether the file at a path has the digest in its name. The error is
// that of reading the file.
func (m *importer) verified(ctx context.Context, at string) (bool, error) {
	s, err := EntryOf(m.s.Store, at)
	if err != nil {
		return false, imageError(m.im.ID, "slides", err)
	}
	defer s.Close()
	f, err := s.Open()
	if fsx.IsGone(err) {
		return false, nil
	}
	if err != nil {
		return false, imageError(m.im.ID, "opening the slide of the same bytes", err)
	}
	defer f.Close()
	before, err := fsx.IdentifyFile(f)
	if err != nil {
		return false, nil //nolint:nilerr // not a regular file
	}
	digest, err := fsx.SHA256(ctx, f, before.Size, m.progress)
	if err != nil {
		return false, imageError(m.im.ID, "reading the slide of the same bytes", err)
	}
	after, err := fsx.IdentifyFile(f)
	if err != nil || after != before {
		return false, imageError(m.im.ID, "reading the slide of the same bytes", ErrReplaced)
	}
	return digest == m.digest, nil
}

// clear moves a damaged slide to the trash.
func (m *importer) clear(at, image string) error {
	from, err := EntryOf(m.s.Store, at)
	if err != nil {
		return imageError(image, "slides", err)
	}
	defer from.Close()
	to, err := EntryOf(m.s.Store, m.s.inTrash(image+".damaged"))
	if err != nil {
		return imageError(image, "trash", err)
	}
	defer to.Close()
	if err := from.MoveTo(to); err != nil && !fsx.IsGone(err) {
		return imageError(image, "moving a damaged slide to the trash", err)
	}
	return imageError(image, "trash", source.SyncDirectories(to, from))
}

// replaceDamaged makes the file that of an image whose own was lost or damaged, and
// drops the image that it arrived as.
func (m *importer) replaceDamaged(ctx context.Context, first *catalog.Image, at string, id fsx.Identity) error {
	ctx = context.WithoutCancel(ctx)
	delete(m.s.Waiting.Files, m.im.Path)
	_, err := m.c.Images.Update(ctx, first.ID, func(im *catalog.Image) error {
		im.State, im.Reason, im.MissingSince, im.HiddenAt = catalog.Available, "", nil, nil
		im.Path, im.Identity, im.Revision = at, id, id.Revision()
		im.Digest, im.VerifiedAt = &m.digest, m.verifiedAt()
		im.DamagedAt, im.Damage = nil, ""
		return nil
	})
	if err != nil {
		return err
	}
	if m.copied != nil {
		if err := unlinkSame(m.s.Store, m.im.Path, m.im.Identity); err != nil {
			return imageError(m.im.ID, "removing the original file after copying it", err)
		}
	}
	return m.c.Images.Drop(ctx, m.im.ID)
}

// drop moves a duplicate to the trash and removes its image from the catalog.
func (m *importer) drop(ctx context.Context, first string) error {
	ctx = context.WithoutCancel(ctx)
	side := MovedFrom(m.im)
	side.DuplicateOf, side.Digest = first, m.digest
	at := renamedTo(m.im, m.s.inTrash(m.im.ID))
	if err := WriteSidecar(m.s.Store, at, side); err != nil {
		return imageError(m.im.ID, "trash", DiskFull(err))
	}
	to, err := EntryOf(m.s.Store, container(at))
	if err != nil {
		return imageError(m.im.ID, "trash", err)
	}
	defer to.Close()
	from := m.ourEntry()
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.src.same(); err != nil {
		return err
	}
	if err := from.MoveTo(to); err != nil {
		return imageError(m.im.ID, "moving the second copy to the trash", err)
	}
	if err := source.SyncDirectories(to, from); err != nil {
		return imageError(m.im.ID, "trash", err)
	}
	if m.copied != nil {
		if err := unlinkSame(m.s.Store, m.im.Path, m.im.Identity); err != nil {
			return imageError(m.im.ID, "removing the original file after copying it", err)
		}
	}
	delete(m.s.Waiting.Files, m.im.Path)
	if err := m.c.Images.Drop(ctx, m.im.ID); err != nil {
		return err
	}
	return imageError(m.im.ID, "staging", RemoveSidecar(m.s.Store, staged(m.im)))
}
