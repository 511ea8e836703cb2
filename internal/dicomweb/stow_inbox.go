package dicomweb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/managed"
)

// tempFolder is the folder in a store's incoming folder that holds instances that are being
// received. Scans skip it, as all hidden folders.
const tempFolder = ".ptiffstore-stow"

var (
	errNoSpace  = errors.New("the disk is full, or the quota is reached")
	errTooLarge = errors.New("the instance is larger than is allowed")
	errRead     = errors.New("the body cannot be read on")
	errAway     = &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The store's incoming folder is unreachable: check that its disk is mounted, then send the instances again.", RetryAfter: 30}
)

func withoutPath(err error) error { return fsx.WithoutPath(err) }

// An inbox is the incoming folder of a store. Paths in it cannot lead elsewhere, although users who
// may write into the folder may put links there.
type inbox struct {
	store *catalog.Store
	in    *os.Root // the incoming folder
	temps *os.Root // the hidden folder in it
	space space
}

// space is what a request may fill.
type space struct {
	reserve int64 // bytes of the disk that are left free
	quota   int64 // bytes that are left of the store's quota; -1 without one
	used    int64 // bytes of the instances of the request
}

// openInbox opens the incoming folder of a store, which must be the store's: a disk may not be
// mounted.
func openInbox(st *catalog.Store) (*inbox, error) {
	path := managed.IncomingOf(st)
	if id, err := managed.Marked(path); err != nil || id != st.ID {
		return nil, errAway
	}
	in, err := fsx.OpenRoot(path)
	if err != nil {
		return nil, errAway
	}
	if err = in.Mkdir(tempFolder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		in.Close()
		return nil, noSpace(full(err))
	}
	temps, err := fsx.OpenRootIn(in, tempFolder)
	if err != nil {
		in.Close()
		return nil, err
	}
	return &inbox{store: st, in: in, temps: temps}, nil
}

func (b *inbox) close() {
	b.temps.Close()
	b.in.Close()
}

// fits returns errNoSpace if so many further bytes have no room on the disk or in the quota.
func (b *inbox) fits(n int64) error {
	d, err := b.in.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	free, err := fsx.FreeOn(d)
	if err != nil {
		return err
	}
	if free-b.space.reserve < n || b.space.quota >= 0 && b.space.used+n > b.space.quota {
		return errNoSpace
	}
	return nil
}

// full turns the errors of a full disk into errNoSpace.
func full(err error) error {
	if fsx.IsFull(err) {
		return errNoSpace
	}
	return err
}

// A temp is an instance that is being received. It is locked, so that sweeps of other processes
// leave it alone.
type temp struct {
	inbox *inbox
	name  string
	file  *os.File
	size  int64
	head  *dicom.File // once it was read
	given bool        // it was renamed
}

// create creates a file for an instance.
func (b *inbox) create() (*temp, error) {
	if err := b.fits(0); err != nil {
		return nil, err
	}
	t := &temp{inbox: b, name: rand.Text() + ".part"}
	var err error
	if t.file, err = b.temps.OpenFile(t.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, full(err)
	}
	if !fsx.TryLock(t.file) {
		t.discard()
		return nil, errors.New("another process has locked the file of an instance")
	}
	return t, nil
}

// discard closes the file, and removes it unless it was renamed.
func (t *temp) discard() {
	if !t.given {
		if err := t.inbox.temps.Remove(t.name); err == nil {
			t.inbox.space.used -= t.size
		}
	}
	t.file.Close()
}

const (
	copyBuffer = 256 << 10
	// checkBytes is how much is written before it is synced, and the space checked again.
	checkBytes = 64 << 20
)

// receive writes the bytes of an instance. The error is errRead if body cannot be read on.
func (t *temp) receive(body io.Reader, most int64) error {
	buf, unchecked := make([]byte, copyBuffer), int64(0)
	for {
		n, rerr := body.Read(buf)
		if t.size+int64(n) > most {
			return errTooLarge
		}
		if _, err := t.file.Write(buf[:n]); err != nil {
			return full(err)
		}
		t.size += int64(n)
		t.inbox.space.used += int64(n)
		if unchecked += int64(n); unchecked >= checkBytes || errors.Is(rerr, io.EOF) {
			unchecked = 0
			if err := t.inbox.fits(0); err != nil {
				return err
			}
			if err := t.file.Sync(); err != nil {
				return full(err)
			}
		}
		switch {
		case errors.Is(rerr, io.EOF):
			return nil
		case rerr != nil:
			return fmt.Errorf("%w: %w", errRead, rerr)
		}
	}
}

// give renames the file to its place below the incoming folder. If there is a file already, or the
// store has imported the instance, same reports whether it has the same data set. All is on disk
// when it returns.
func (t *temp) give(series, instance string) (same bool, err error) {
	f, err := managed.OpenInstance(t.inbox.store, series, instance)
	switch {
	case err == nil:
		defer f.Close()
		return t.sameAs(f)
	case !fsx.IsGone(err):
		return false, err
	}
	if err := t.inbox.temps.Chmod(t.name, 0o644); err != nil {
		return false, err
	}
	// The scanner may remove the folder once it is empty.
	for range 10 {
		same, err = t.rename(series, instance+".dcm")
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return same, full(err)
}

func (t *temp) rename(series, name string) (same bool, err error) {
	b := t.inbox
	if err := b.in.Mkdir(series, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	folder, err := fsx.OpenRootIn(b.in, series)
	if err != nil {
		return false, err
	}
	defer folder.Close()
	from, err := b.temps.Open(".")
	if err != nil {
		return false, err
	}
	defer from.Close()
	to, err := folder.Open(".")
	if err != nil {
		return false, err
	}
	defer to.Close()
	err = fsx.RenameNew(from, t.name, to, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		f, err := fsx.OpenIn(folder, name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		if same, err = t.sameAs(f); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	default:
		same, t.given = true, true
	}
	// Also if the file was there: another request may just have renamed it.
	return same, errors.Join(fsx.SyncDir(to), fsx.SyncRoot(b.in))
}

// sameAs reports whether another file has the same data set.
func (t *temp) sameAs(f *os.File) (bool, error) {
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	return t.head.SameData(t.file, t.size, f, st.Size())
}

// SweepPause is how often the files of interrupted requests are removed.
const SweepPause = 10 * time.Minute

// youngest is the age from which an unlocked file is one of an interrupted request: before it may
// just be being created.
const youngest = time.Minute

// Sweep removes files that an ended process left in the hidden folders of all managed stores.
func (v *Receiver) Sweep(ctx context.Context) error {
	stores, err := v.o.Catalog.Stores.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range stores {
		if stores[i].ManagedFolder() && ctx.Err() == nil {
			n, err := sweep(&stores[i])
			errs = append(errs, withoutPath(err))
			if n > 0 {
				v.o.Log.Info("files of interrupted DICOM transfers removed", "store", stores[i].ID, "files", n)
			}
		}
	}
	return errors.Join(errs...)
}

func sweep(st *catalog.Store) (removed int, err error) {
	dir, err := fsx.OpenRoot(managed.IncomingOf(st) + "/" + tempFolder)
	if err != nil {
		return 0, nil //nolint:nilerr // unreachable, or nothing was ever received
	}
	defer dir.Close()
	list, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range list {
		if info, err := e.Info(); err != nil || !strings.HasSuffix(e.Name(), ".part") || time.Since(info.ModTime()) < youngest {
			continue
		}
		ok, err := removeUnlocked(dir, e.Name())
		errs = append(errs, err)
		if ok {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// removeUnlocked removes a file unless a process is writing to it.
func removeUnlocked(dir *os.Root, name string) (bool, error) {
	f, err := fsx.OpenFileIn(dir, name, os.O_RDWR)
	if err != nil {
		return false, nil //nolint:nilerr // renamed since
	}
	defer f.Close()
	if !fsx.TryLock(f) {
		return false, nil
	}
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}
