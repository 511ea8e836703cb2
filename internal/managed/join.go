package managed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// errOtherInstance is why files of a series are in quarantine that the store has differently.
var errOtherInstance = errors.New("the store has another file of the same instance of this series (SOPInstanceUID), which is kept")

// errIncompleteSeries is why files are in quarantine that cannot replace those of a lost slide.
var errIncompleteSeries = errors.New("the files of the slide of this series are missing from the store, and these ones are no slide by themselves: send the whole series")

// join adds the files of the image to the stored slide of the same series, first:
//
//   - An instance that the slide does not have is moved to its folder, if the slide can be
//     opened with it.
//   - An instance that the slide has with the same data set is a duplicate: it goes to the
//     trash.
//   - An instance that the slide has with another data set stays with the image, which goes to
//     quarantine; except if the stored file is damaged: then the new one replaces it.
//
// The image is removed from the catalog, unless it is in quarantine. First is inspected again.
//
// Files are added before they are recorded. After a crash the next scan finds them in the folder
// of the slide, and this image with the others.
func (m *importer) join(ctx context.Context, first *catalog.Image) (Imported, error) {
	done := Imported{Image: first.ID, Digest: m.digest, Duplicate: true}
	was, err := openSet(m.s.Store, first)
	if fsx.IsGone(err) {
		return m.replaceSeries(ctx, first)
	}
	if err != nil {
		return done, imageError(first.ID, "opening the files of the series", err)
	}
	defer was.close()
	plan, err := m.compare(ctx, first, was)
	if err != nil {
		return done, imageError(m.im.ID, "comparing the series with the one of the store", err)
	}
	if err := m.opens(was, plan); err != nil {
		why := fmt.Errorf("the store has this series, and these files cannot be added to it: %w", err)
		return Imported{Image: m.im.ID, Digest: m.digest}, m.reject(ctx, why)
	}
	if err := m.add(ctx, first, was, plan); err != nil {
		return done, err
	}
	if len(plan.conflicts) > 0 {
		return Imported{Image: m.im.ID, Digest: m.digest}, m.reject(ctx, errOtherInstance)
	}
	return done, m.dropJoined(ctx, first.ID, len(plan.same) > 0)
}

// A joining says what becomes of the files of an image that joins a slide, by their numbers in
// the set.
type joining struct {
	adds, same, conflicts []int
	replaced              []int // those of the slide that are damaged, whose instances are in adds
}

// compare compares the files with those of the slide.
func (m *importer) compare(ctx context.Context, first *catalog.Image, was *set) (p joining, err error) {
	var known []Instance
	if side, err := ReadSidecar(m.s.Store, first.Path); err == nil {
		known = side.Instances
	}
	for i, f := range m.src.files {
		j := slices.IndexFunc(was.files, func(w member) bool {
			return w.uid == f.uid || w.uid == "" && w.name == instanceName(f.uid) // its header is damaged
		})
		if j < 0 {
			p.adds = append(p.adds, i)
			continue
		}
		same, err := sameInstance(f, was.files[j])
		if err != nil {
			return p, err
		}
		if same {
			p.same = append(p.same, i)
			continue
		}
		whole, err := unchanged(ctx, was.files[j], known)
		if err != nil {
			return p, err
		}
		if whole {
			p.conflicts = append(p.conflicts, i)
		} else {
			p.adds, p.replaced = append(p.adds, i), append(p.replaced, j)
		}
	}
	return p, nil
}

// sameInstance reports whether two files have the same data set.
func sameInstance(a, b member) (bool, error) {
	x, err := dicom.Read(a.f, a.id.Size)
	if err != nil {
		return false, nil //nolint:nilerr // damaged
	}
	return x.SameData(a.f, a.id.Size, b.f, b.id.Size)
}

// unchanged reports whether a file of the slide has the recorded digest.
func unchanged(ctx context.Context, f member, known []Instance) (bool, error) {
	if f.uid == "" {
		return false, nil
	}
	i := slices.IndexFunc(known, func(k Instance) bool { return k.UID == f.uid })
	if i < 0 {
		return true, nil
	}
	digest, err := fsx.SHA256(ctx, f.f, f.id.Size, nil)
	return digest == known[i].SHA256, err
}

// opens checks that the slide can be opened with the files that are added.
func (m *importer) opens(was *set, p joining) error {
	if len(p.adds) == 0 {
		return nil
	}
	var parts []dicom.Part
	for j, f := range was.files {
		if !slices.Contains(p.replaced, j) {
			parts = append(parts, dicom.Part{Name: f.name, R: f.f, Size: f.id.Size})
		}
	}
	for _, i := range p.adds {
		f := m.src.files[i]
		parts = append(parts, dicom.Part{Name: f.name, R: f.f, Size: f.id.Size})
	}
	s, err := dicom.Open(parts)
	if err == nil {
		err = s.Check()
	}
	return fsx.WithoutPath(err)
}

// add moves files to the folder of the slide, and records it as it then is.
func (m *importer) add(ctx context.Context, first *catalog.Image, was *set, p joining) error {
	if len(p.adds) == 0 {
		return nil
	}
	for _, j := range p.replaced {
		if err := m.discard(first, was, j); err != nil {
			return err
		}
	}
	added, err := m.moveInto(was, p.adds)
	if err != nil {
		return imageError(m.im.ID, "adding files to the series", DiskFull(err))
	}
	side, err := ReadSidecar(m.s.Store, first.Path)
	if err != nil {
		side = SidecarOf(first)
	}
	for _, i := range added {
		side.Instances = slices.DeleteFunc(side.Instances, func(old Instance) bool { return old.UID == i.UID })
	}
	side.Instances = append(side.Instances, added...)
	side.Digest = digestOf(side.Instances)
	if err := WriteSidecar(m.s.Store, first.Path, side); err != nil {
		return imageError(first.ID, "writing a sidecar", DiskFull(err))
	}
	id, err := Stat(m.s.Store, first.Path)
	if err != nil {
		return imageError(first.ID, "reading the identity of the files", err)
	}
	return m.s.Record(context.WithoutCancel(ctx), m.c, first.Path, id)
}

// moveInto moves files of the image into the folder of a slide, syncs both folders, and returns
// a description of the files.
func (m *importer) moveInto(was *set, adds []int) ([]Instance, error) {
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.src.same(); err != nil {
		return nil, err
	}
	if err := errors.Join(m.src.chmod(0o444), m.src.sync()); err != nil {
		return nil, err
	}
	var added []Instance
	instances := m.src.instances()
	for _, i := range adds {
		to := source.Entry{Dir: was.dir, Name: instanceName(m.src.files[i].uid)}
		err := m.src.entry(i).MoveTo(to)
		if errors.Is(err, fs.ErrExist) { // a file whose header is damaged: it is not one of the series
			if err = m.discardEntry(was.image, to, i); err == nil {
				err = m.src.entry(i).MoveTo(to)
			}
		}
		if err != nil {
			return nil, err
		}
		added = append(added, instances[i])
	}
	return added, errors.Join(fsx.SyncDir(was.dir), fsx.SyncDir(m.src.dir))
}

// discard moves a damaged file of a slide to the trash.
func (m *importer) discard(first *catalog.Image, was *set, j int) error {
	return m.discardEntry(first.ID, was.entry(j), j)
}

func (m *importer) discardEntry(image string, from source.Entry, n int) error {
	to, err := EntryOf(m.s.Store, m.s.inTrash(fmt.Sprintf("%s.damaged-%d", image, n)))
	if err != nil {
		return imageError(image, "trash", err)
	}
	defer to.Close()
	if err := from.MoveTo(to); err != nil {
		return imageError(image, "moving a damaged file to the trash", err)
	}
	return imageError(image, "trash", source.SyncDirectories(to, from))
}

// replaceSeries makes the files those of an image whose own are lost.
func (m *importer) replaceSeries(ctx context.Context, first *catalog.Image) (Imported, error) {
	if m.im.State != catalog.Available {
		return Imported{Image: m.im.ID, Digest: m.digest}, m.reject(ctx, errIncompleteSeries)
	}
	if at := container(first.Path); m.s.exists(at) && m.s.removeEmpty(at) != nil { // all of its files are damaged
		if err := m.s.renameFolder(at, m.s.inTrash(first.ID+".damaged")); err != nil {
			return Imported{}, imageError(first.ID, "moving a damaged series to the trash", err)
		}
	}
	return Imported{Image: first.ID, Digest: m.digest, Duplicate: true}, m.place(ctx, first.Path, first)
}

// reject moves the image, with the files that it has left, to quarantine.
func (m *importer) reject(ctx context.Context, why error) error {
	m.src.close()
	m.src = nil
	id, err := Stat(m.s.Store, m.im.Path)
	if err != nil {
		return imageError(m.im.ID, "reading the identity of the files", err)
	}
	im, err := m.c.Images.Update(ctx, m.im.ID, func(im *catalog.Image) error {
		if im.Identity.Size != id.Size || im.Identity.MTime != id.MTime {
			im.Revision = id.Revision()
		}
		im.Identity, im.State, im.Reason, im.Digest = id, catalog.Broken, why.Error(), nil
		return nil
	})
	if err != nil {
		return err
	}
	return m.s.quarantine(ctx, m.c, im)
}

// dropJoined removes the image from the catalog, after moving the files that it has left to the
// trash.
func (m *importer) dropJoined(ctx context.Context, first string, left bool) error {
	ctx = context.WithoutCancel(ctx)
	m.src.close()
	m.src = nil
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	delete(m.s.Waiting.Files, m.im.Path)
	var err error
	if left {
		side := MovedFrom(m.im)
		side.DuplicateOf = first
		at := renamedTo(m.im, m.s.inTrash(m.im.ID))
		if err = WriteSidecar(m.s.Store, at, side); err == nil {
			err = m.s.renameFolder(container(m.im.Path), container(at))
		}
	} else {
		err = m.s.removeEmpty(container(m.im.Path))
	}
	if err != nil {
		return imageError(m.im.ID, "moving the files that the store has to the trash", DiskFull(err))
	}
	if err := m.c.Images.Drop(ctx, m.im.ID); err != nil {
		return err
	}
	return imageError(m.im.ID, "staging", RemoveSidecar(m.s.Store, staged(m.im)))
}
