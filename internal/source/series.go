package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// maxFiles bounds the files of a series: all are open while its slide is.
	maxFiles = 256
	// headerTime is how long a file may be unchanged without a header until it counts as one
	// that will never have one.
	headerTime = 10 * time.Minute
)

var errManyFiles = &tiff.UnsupportedError{Msg: fmt.Sprintf("the series has more than %d files in this folder", maxFiles)}

// A candidate is a file that may be DICOM, in an open directory.
type candidate struct {
	name string
	id   fsx.Identity
}

// A series is the DICOM series in a folder, or the part of one that is there.
type series struct {
	uid   string // SeriesInstanceUID
	files []part // by name
	alone bool   // the folder has no other series
}

// A part is a file of a series.
type part struct {
	candidate
	uid string // SOPInstanceUID
}

// identity is the identity of the files as a whole.
func (s *series) identity() fsx.Identity {
	files := make([]fsx.Identity, len(s.files))
	for i := range s.files {
		files[i] = s.files[i].id
	}
	return SeriesIdentity(s.uid, files)
}

// SeriesIdentity combines the identities of the files of a series, of which there is at least
// one, so that it changes whenever one of them does. Their order has no meaning.
//
// The size is the sum of sizes. Inode, mtime and ctime are as those of files: the inode is the
// same when files are renamed, the mtime is the same in a copy that keeps the times of files,
// and the latter two are the times of the latest change, except for their last bits, which are
// a hash of those of all files.
func SeriesIdentity(uid string, files []fsx.Identity) fsx.Identity {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b fsx.Identity) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.MTime, b.MTime), cmp.Compare(a.Ino, b.Ino), cmp.Compare(a.CTime, b.CTime))
	})
	var contents, inodes, changes []byte
	id := fsx.Identity{Dev: files[0].Dev}
	for _, f := range files {
		id.Size += f.Size
		id.MTime, id.CTime = max(id.MTime, f.MTime), max(id.CTime, f.CTime)
		contents = number(number(contents, f.Size), f.MTime)
		inodes = binary.BigEndian.AppendUint64(inodes, f.Ino)
		changes = number(changes, f.CTime)
	}
	id.Ino = max(hash64(uid, inodes, contents), 1)
	id.MTime = stamp(id.MTime, hash64(uid, contents))
	id.CTime = stamp(id.CTime, hash64(uid, contents, inodes, changes))
	return id
}

func number(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) } //nolint:gosec // all bits are kept

func hash64(uid string, parts ...[]byte) uint64 {
	sum := sha256.Sum256(slices.Concat([]byte(uid), slices.Concat(parts...)))
	return binary.BigEndian.Uint64(sum[:])
}

// stampBits are the last bits of a time in nanoseconds that a hash takes the place of: 17 ms.
const stampBits = 24

func stamp(at int64, hash uint64) int64 {
	return at>>stampBits<<stampBits | int64(hash>>(64-stampBits)) //nolint:gosec // 24 bits
}

// name is the name of the series for users: that of its only file, or of its folder if it is
// the only series there, or else the common beginning of the names of its files.
func (s *series) name(dir string) string {
	if len(s.files) == 1 {
		return s.files[0].name
	}
	if dir != "" && s.alone {
		return path.Base(dir)
	}
	first, last := s.files[0].name, s.files[len(s.files)-1].name
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	name := first[:n]
	if isDigit(name, n-1) && (isDigit(first, n) || isDigit(last, n)) {
		name = strings.TrimRight(name, "0123456789") // not a part of a number
	}
	if name = strings.TrimRight(name, " ._-("); strings.Trim(name, "0123456789.") == "" {
		return s.uid // the files are named by their UIDs
	}
	return name
}

func isDigit(s string, i int) bool { return i >= 0 && i < len(s) && '0' <= s[i] && s[i] <= '9' }

// A grouping is what the candidates of a folder are.
type grouping struct {
	series []*series   // by UID
	lone   []candidate // items of their own
}

// group reads the headers of candidates that have changed, and groups them. Files whose header
// is not there yet are left out, unless they have not been written to for long. The error is one
// that says nothing about a file: nothing is known about the folder then.
func group(fd int, list []candidate) (*grouping, error) {
	var g grouping
	folder, err := fsx.Identify(uintptr(fd)) //nolint:gosec // a descriptor
	if err != nil {
		return nil, err
	}
	found := map[string]*series{}
	var pending []candidate
	for _, c := range list {
		h, id, err := headers.header(fd, folder.Ino, c.name, c.id)
		c.id = id
		switch {
		case fsx.IsGone(err):
			continue
		case errors.Is(err, fs.ErrPermission):
			g.lone = append(g.lone, c) // inspecting it reports why
			continue
		case err != nil:
			return nil, err
		}
		switch h.content {
		case instance:
			s := found[h.series]
			if s == nil {
				s = &series{uid: h.series}
				found[h.series] = s
				g.series = append(g.series, s)
			}
			s.files = append(s.files, part{c, h.uid})
		case noHeader:
			pending = append(pending, c)
		case notDICOM, badHeader:
			g.lone = append(g.lone, c)
		case otherClass: // annotations lie beside slides
		}
	}
	for _, c := range pending {
		s := found[headers.formerSeries(folder.Ino, c.name, c.id)]
		switch {
		case s != nil: // the file is written again
			s.files = append(s.files, part{candidate: c})
		case !isNamedDICOM(c.name), !recent(c.id):
			g.lone = append(g.lone, c)
		}
	}
	slices.SortFunc(g.series, func(a, b *series) int { return cmp.Compare(a.uid, b.uid) })
	for _, s := range g.series {
		s.alone = len(g.series) == 1
		slices.SortFunc(s.files, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	}
	return &g, nil
}

// recent reports whether a file may still be written to.
func recent(id fsx.Identity) bool {
	return time.Since(time.Unix(0, max(id.MTime, id.CTime))) < headerTime
}

// find returns the series of a path in the directory as it is now, and the open folder, which
// the caller closes.
func (d *Directory) find(root *os.Root, p string) (*series, *os.File, error) {
	dir, uid, ok := catalog.SplitSeries(d.rel(p))
	if !ok {
		return nil, nil, fs.ErrNotExist
	}
	f, err := root.OpenFile(cmp.Or(dir, "."), unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fsx.WithoutPath(err)
	}
	g, err := d.groupIn(f, dir)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	for _, s := range g.series {
		if s.uid == uid {
			return s, f, nil
		}
	}
	f.Close()
	return nil, nil, fs.ErrNotExist
}

// groupIn groups the files of an open folder.
func (d *Directory) groupIn(f *os.File, dir string) (*grouping, error) {
	var list []candidate
	for {
		names, err := f.Readdirnames(batchNames)
		for _, name := range names {
			if !mayBeDICOM(name) || !d.filter.File(path.Join(dir, name)) {
				continue
			}
			id, err := fsx.StatIn(int(f.Fd()), name)
			if err == nil {
				list = append(list, candidate{name, id})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		if err == io.EOF {
			return group(int(f.Fd()), list)
		}
		if err != nil {
			return nil, fsx.WithoutPath(err)
		}
	}
}

// InFolder returns the items of a folder that are DICOM: series, and files that may become
// parts of one. The error satisfies [fsx.IsGone] if there is no such folder.
func (d *Directory) InFolder(dir string) ([]Item, error) {
	f, err := d.root.OpenFile(cmp.Or(d.rel(dir), "."), unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fsx.WithoutPath(err)
	}
	defer f.Close()
	g, err := d.groupIn(f, d.rel(dir))
	if err != nil {
		return nil, err
	}
	return g.items(d.prefix, d.rel(dir)), nil
}

// items returns the items of a folder.
func (g *grouping) items(prefix, dir string) []Item {
	var list []Item
	for _, s := range g.series {
		list = append(list, Item{Path: prefix + catalog.SeriesPath(dir, s.uid), Identity: s.identity()})
	}
	for _, c := range g.lone {
		list = append(list, Item{Path: prefix + path.Join(dir, c.name), Identity: c.id})
	}
	return list
}

// FolderOf returns the folder whose series the file at path may belong to. Ok is false for
// files that belong to none.
func (d *Directory) FolderOf(p string) (dir string, ok bool) {
	if catalog.IsSeries(p) || !mayBeDICOM(path.Base(p)) {
		return "", false
	}
	rel := d.rel(p)
	return d.prefix + strings.TrimPrefix(path.Dir("/"+rel), "/"), true
}

// identifySeries returns the identity of the series at a path.
func (d *Directory) identifySeries(p string) (fsx.Identity, error) {
	root, err := fsx.OpenRoot(d.path) // another directory may be at the path by now
	if err != nil {
		return fsx.Identity{}, fsx.WithoutPath(err)
	}
	defer root.Close()
	s, f, err := d.find(root, p)
	if err != nil {
		return fsx.Identity{}, err
	}
	f.Close()
	return s.identity(), nil
}

// A Member is a file of a series.
type Member struct {
	Path     string // as that of an item
	Identity fsx.Identity
	UID      string // SOPInstanceUID
}

// Members returns the files of the series at a path, in the order of their SOPInstanceUIDs.
func (d *Directory) Members(p string) ([]Member, error) {
	s, f, err := d.find(d.root, p)
	if err != nil {
		return nil, err
	}
	f.Close()
	list := make([]Member, len(s.files))
	for i, m := range s.files {
		list[i] = Member{path.Join(path.Dir(p), m.name), m.id, m.uid}
	}
	slices.SortStableFunc(list, func(a, b Member) int { return cmp.Compare(a.UID, b.UID) })
	return list, nil
}

// openSeries opens the series at a path as a slide.
func (d *Directory) openSeries(p string) (*Slide, error) {
	s, dir, err := d.find(d.root, p)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	rel, _, _ := catalog.SplitSeries(d.rel(p))
	out := &Slide{Identity: s.identity(), Names: &Names{File: s.name(rel)}, Files: len(s.files)}
	if len(s.files) > maxFiles {
		out.Err = errManyFiles
		return out, nil
	}
	open := &openFiles{dir: d, path: p, id: out.Identity, folder: filepath.Join(d.path, rel)}
	out.close, out.current, out.written = open.close, open.current, open.written.Load
	if err := open.all(int(dir.Fd()), s); err != nil {
		open.close()
		return nil, err
	}
	parts := make([]dicom.Part, len(open.files))
	for i, f := range open.files {
		parts[i] = dicom.Part{Name: f.name, R: f, Size: f.id.Size}
	}
	out.Slide, err = dicom.Open(parts)
	if err == nil {
		n, _ := dicom.CountInstances(out.Slide)
		out.DICOM = &catalog.DICOM{Study: out.Properties["dicom.StudyInstanceUID"], Series: s.uid, Open: n.Open, Private: n.Private}
		return out, nil
	}
	if isSlideError(err) || errors.Is(err, dicom.ErrTruncated) || errors.Is(err, dicom.ErrNotDICOM) {
		out.Slide, out.Err = nil, err
		return out, nil
	}
	open.close()
	return nil, err
}

// openFiles are the open files of a series.
type openFiles struct {
	dir   *Directory
	path  string // of the item
	id    fsx.Identity
	files []*instanceFile
	done  atomic.Bool

	written  atomic.Bool // a read has failed with [ErrChanged]
	folder   string
	mu       sync.Mutex
	folderID fsx.Identity // of the folder when it had these files; zero if that is not certain
}

// all opens the files of a series. The error is [ErrChanged] if one is another by now.
func (o *openFiles) all(fd int, s *series) error {
	for _, p := range s.files {
		f, err := openInstance(fd, p.name)
		if err != nil {
			if fsx.IsGone(err) {
				return ErrChanged
			}
			return err
		}
		o.files = append(o.files, &instanceFile{of: o, f: f, fd: f.Fd(), name: p.name, id: p.id})
		if id, err := fsx.IdentifyFile(f); err != nil || id != p.id {
			return ErrChanged
		}
	}
	return nil
}

func (o *openFiles) close() error {
	if o.done.Swap(true) {
		return nil
	}
	for _, f := range o.files {
		f.f.Close() // it was only read
	}
	return nil
}

// settled is for how long a folder must be unchanged before it counts as unchanged since it was
// listed: its times have the resolution of the kernel's clock, or of a file server's.
const settled = 3 * time.Second

// listed remembers the state of the folder, of which the caller has just seen all files.
func (o *openFiles) listed() {
	o.folderID = fsx.Identity{}
	id, err := fsx.Stat(o.folder)
	if age := time.Since(time.Unix(0, max(id.MTime, id.CTime))); err == nil && age > settled {
		o.folderID = id
	}
}

// unlisted reports whether the series is certainly the one that was opened, without listing the
// folder, which may have thousands of files.
func (o *openFiles) unlisted() bool {
	if id, err := fsx.Stat(o.folder); err != nil || id.Ino == 0 || id != o.folderID {
		return false
	}
	for _, f := range o.files {
		if id, err := fsx.StatIn(unix.AT_FDCWD, filepath.Join(o.folder, f.name)); err != nil || id != f.id {
			return false
		}
	}
	return true
}

// current compares the series with the one that was opened.
func (o *openFiles) current() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.written.Load():
		return ErrChanged
	case o.unlisted():
		return nil
	}
	defer o.listed()
	id, err := o.dir.identifySeries(o.path)
	if err != nil && !fsx.IsGone(err) {
		return err
	}
	if err != nil || id != o.id {
		return ErrChanged
	}
	return nil
}

// An instanceFile is an open file of a series. What it reads is of the file that was opened:
// otherwise the error is [ErrChanged].
type instanceFile struct {
	of   *openFiles
	f    *os.File
	fd   uintptr
	name string
	id   fsx.Identity
}

// ReadAt reads and then checks the identity of the file.
func (f *instanceFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, rerr := unix.Pread(int(f.fd), p[n:], off+int64(n))
		if rerr == syscall.EINTR {
			continue
		}
		if rerr != nil {
			err = fmt.Errorf("cannot read %d bytes at %d: %w", len(p), off, rerr)
			break
		}
		if m == 0 {
			err = io.EOF
			break
		}
		n += m
	}
	if id, ierr := fsx.Identify(f.fd); ierr != nil || id != f.id {
		f.of.written.Store(true)
		return 0, ErrChanged
	}
	return n, err
}

// readable reports whether this process may read all files of the series at a path.
func (d *Directory) readableSeries(p string) bool {
	list, err := d.Members(p)
	return err != nil || !slices.ContainsFunc(list, func(m Member) bool { return !d.Readable(m.Path) })
}

// errSeries reports that an item was to be opened as one file.
var errSeries = errors.New("the item is a series of files")
