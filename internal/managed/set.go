package managed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// maxInstances limits the files of a series that are moved: all are open meanwhile.
const maxInstances = 1024

// A set is the open and claimed files of an image: its file or, of a DICOM series, one for
// each instance.
type set struct {
	image  string
	at     source.Entry // the file, or the folder of the series
	series string       // SeriesInstanceUID; "" for a file
	dir    *os.File     // the folder that the files are in
	files  []member     // by SOPInstanceUID
	found  fsx.Identity // when it was opened, of all files of the series: there may be several of an instance
}

// A member is a file of a set.
type member struct {
	name   string // in the folder
	uid    string // SOPInstanceUID
	f      *os.File
	id     fsx.Identity
	digest string // SHA-256, once it was read
}

// openSet opens and claims the files at the path of an image. Of several files of an instance
// it is the first one by name.
//
// The error satisfies [fsx.IsGone] if the set has no files, or is [lease.ErrBusy] or [ErrReplaced].
func openSet(st *catalog.Store, im *catalog.Image) (s *set, err error) {
	s = &set{image: im.ID}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if s.at, err = EntryOf(st, container(im.Path)); err != nil {
		return s, err
	}
	_, uid, ok := catalog.SplitSeries(im.Path)
	if !ok {
		if err := s.open(s.at, "", nil); err != nil {
			return s, err
		}
		s.dir, s.found = s.at.Dir, s.files[0].id
		return s, nil
	}
	s.series = uid
	inside, err := EntryOf(st, path.Join(container(im.Path), "file"))
	if err != nil {
		return s, err
	}
	s.dir = inside.Dir
	return s, s.openSeries(st, im.Path)
}

func (s *set) openSeries(st *catalog.Store, at string) error {
	d, list, err := membersOf(st, at)
	if err != nil {
		return err
	}
	d.Close()
	if len(list) > maxInstances {
		return fmt.Errorf("the series has more than %d files", maxInstances)
	}
	all := make([]fsx.Identity, len(list))
	for i := range list {
		all[i] = list[i].Identity
		if i > 0 && list[i].UID == list[i-1].UID {
			continue
		}
		if err := s.open(source.Entry{Dir: s.dir, Name: path.Base(list[i].Path)}, list[i].UID, &list[i].Identity); err != nil {
			return err
		}
	}
	s.found = source.SeriesIdentity(s.series, all)
	return nil
}

// open adds a file. It must have the identity, if that is not nil.
func (s *set) open(at source.Entry, uid string, want *fsx.Identity) error {
	f, err := at.Open()
	if err != nil {
		return err
	}
	m := member{name: at.Name, uid: uid, f: f}
	s.files = append(s.files, m)
	if !fsx.TryLock(f) {
		return lease.ErrBusy
	}
	id, err := fsx.IdentifyFile(f)
	if err != nil || want != nil && id != *want {
		return ErrReplaced
	}
	s.files[len(s.files)-1].id = id
	return nil
}

func (s *set) close() {
	for _, m := range s.files {
		m.f.Close() // read, or synced before it was named
	}
	if s.dir != nil && s.dir != s.at.Dir {
		s.dir.Close()
	}
	s.at.Close()
}

// identity is the identity of the files that are open.
func (s *set) identity() fsx.Identity {
	if s.series == "" {
		return s.files[0].id
	}
	ids := make([]fsx.Identity, len(s.files))
	for i := range s.files {
		ids[i] = s.files[i].id
	}
	return source.SeriesIdentity(s.series, ids)
}

func (s *set) entry(i int) source.Entry { return source.Entry{Dir: s.dir, Name: s.files[i].name} }

// same checks that the files are unchanged and still have their names. The error is
// [ErrReplaced].
func (s *set) same() error {
	for i, m := range s.files {
		id, err := fsx.IdentifyFile(m.f)
		if err != nil || id != m.id {
			return ErrReplaced
		}
		if id, err = s.entry(i).Stat(); err != nil || id != m.id {
			return ErrReplaced
		}
	}
	return nil
}

// renamed updates the identities after a rename or a change of mode, which changes only
// ctimes. The error is [ErrReplaced] if files were written to as well.
func (s *set) renamed() error {
	for i := range s.files {
		m := &s.files[i]
		now, err := fsx.IdentifyFile(m.f)
		if err != nil {
			return imageError(s.image, "reading the identity of the file", err)
		}
		if now.Ino != m.id.Ino || now.Size != m.id.Size || now.MTime != m.id.MTime {
			return ErrReplaced
		}
		m.id = now
	}
	return nil
}

// moveTo renames the file or folder to an unused name, and takes that entry over. It returns
// the former one, which the caller closes.
func (s *set) moveTo(to source.Entry) (from source.Entry, err error) {
	if err := s.at.MoveTo(to); err != nil {
		return from, err
	}
	from, s.at = s.at, to
	if s.series == "" {
		s.files[0].name, s.dir = to.Name, to.Dir
	}
	return from, nil
}

// ours reports whether the files can be renamed: they have no other names through which
// they could be written to, and this process may change their modes.
func (s *set) ours() bool {
	return !slices.ContainsFunc(s.files, func(m member) bool {
		var st unix.Stat_t
		if err := unix.Fstat(int(m.f.Fd()), &st); err != nil || st.Nlink != 1 {
			return true
		}
		return os.Geteuid() != 0 && int(st.Uid) != os.Geteuid()
	})
}

// hash reads the files and returns the digest of the set: that of a file is the SHA-256 of
// its bytes, and that of a series the one of [digestOf].
func (s *set) hash(ctx context.Context, progress func(done, total int64)) (string, error) {
	var before int64
	total := s.identity().Size
	for i := range s.files {
		m := &s.files[i]
		if m.digest == "" {
			var err error
			m.digest, err = fsx.SHA256(ctx, m.f, m.id.Size, func(done, _ int64) {
				if progress != nil {
					progress(before+done, total)
				}
			})
			if err != nil {
				return "", err
			}
		}
		before += m.id.Size
	}
	if s.series == "" {
		return s.files[0].digest, nil
	}
	return digestOf(s.instances()), nil
}

// instances describes the files of a series that were read.
func (s *set) instances() []Instance {
	list := make([]Instance, len(s.files))
	for i, m := range s.files {
		list[i] = Instance{m.uid, m.digest, m.id.Size, m.id.MTime}
	}
	return list
}

// digestOf is the digest of a series: the SHA-256 of the digests of its files in the order of
// their SOPInstanceUIDs, a line each. It is the one of package verify.
func digestOf(list []Instance) string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Instance) int { return cmp.Compare(a.UID, b.UID) })
	all := sha256.New()
	for _, i := range list {
		fmt.Fprintln(all, i.SHA256)
	}
	return hex.EncodeToString(all.Sum(nil))
}

// sync syncs the files to disk, and the folder of a series.
func (s *set) sync() error {
	for _, m := range s.files {
		if err := m.f.Sync(); err != nil {
			return err
		}
	}
	if s.series == "" {
		return nil
	}
	return fsx.SyncDir(s.dir)
}

func (s *set) chmod(mode os.FileMode) error {
	for _, m := range s.files {
		if err := m.f.Chmod(mode); err != nil {
			return err
		}
	}
	return nil
}

// instanceName is the name of the file of an instance. A SOPInstanceUID may be any text.
func instanceName(uid string) string {
	if catalog.IsUID(uid) {
		return uid + ".dcm"
	}
	sum := sha256.Sum256([]byte(uid))
	return "x" + hex.EncodeToString(sum[:16]) + ".dcm"
}
