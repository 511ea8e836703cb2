package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A meterFunc receives how much of a file has been read, in bytes.
type meterFunc func(done, total int64)

// copyTo writes a copy of an open file to a new file at the entry, syncs it, and leaves
// it open and locked. The copy gets the times of the original. After an error there is
// no copy.
func copyTo(ctx context.Context, to source.Entry, from *os.File, id fsx.Identity, progress meterFunc) (f *os.File, digest string, err error) {
	if err := to.Remove(); err != nil {
		return nil, "", err
	}
	f, err = to.OpenFile(unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, "", managed.DiskFull(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, to.Remove())
		}
	}()
	if !fsx.TryLock(f) {
		return nil, "", ErrBusy
	}
	if digest, err = fsx.CopySHA256(ctx, f, from, id.Size, progress); err != nil {
		return nil, "", managed.DiskFull(err)
	}
	ts := unix.NsecToTimespec(id.MTime)
	if err := unix.UtimesNanoAt(int(to.Dir.Fd()), to.Name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, "", err
	}
	return f, digest, managed.DiskFull(f.Sync())
}

// imageError describes an error at the file of an image without a file name.
func imageError(image, what string, err error) error {
	err = fsx.WithoutPath(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("image %s: %s: permission denied: user %d must be allowed to write there: %w", image, what, os.Geteuid(), err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("image %s: %s: the file system is read-only: %w", image, what, err)
	}
	return fmt.Errorf("image %s: %s: %w", image, what, err)
}

// stamp is the format of times in the names of files in the trash.
const stamp = "20060102T150405Z"

// stamped returns the time that a name begins with, and the rest of the name.
func stamped(name string) (time.Time, string, bool) {
	when, rest, ok := strings.Cut(name, "-")
	at, err := time.Parse(stamp, when)
	return at, rest, ok && err == nil
}
