package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular reports a path of something other than a regular file: a named pipe, a
// socket, a device or a folder.
var ErrNotRegular = errors.New("it is not a regular file")

// readOnly opens without waiting: opening a named pipe would wait for a writer, and a
// terminal would become the controlling one of the process.
const readOnly = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// Open opens the regular file at path for reading, following symbolic links. The error
// for other kinds wraps [ErrNotRegular]; they are not opened if possible, because
// opening a device may have an effect.
//
// Open may block forever on a file system whose server is unreachable.
func Open(path string) (*os.File, error) {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	f, err := os.OpenFile(path, readOnly, 0)
	if err != nil {
		return nil, err
	}
	return onlyRegular(f)
}

// OpenIn is [Open] for a path below root. No path or symbolic link leads out of root.
func OpenIn(root *os.Root, path string) (*os.File, error) {
	return OpenFileIn(root, path, readOnly)
}

// OpenFileIn is OpenIn for an existing file with other flags, such as [os.O_RDWR].
func OpenFileIn(root *os.Root, path string, flags int) (*os.File, error) {
	f, err := root.OpenFile(path, flags|readOnly, 0)
	if err != nil {
		return nil, err
	}
	return onlyRegular(f)
}

// onlyRegular returns f, or closes it if it is not a regular file.
func onlyRegular(f *os.File) (*os.File, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// OpenFolder opens the folder at path, following symbolic links. For other kinds the
// error is ENOTDIR, without waiting.
func OpenFolder(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
}

// OpenRoot is [os.OpenRoot] that does not wait at a named pipe: the added "/." makes
// opening it an error.
func OpenRoot(path string) (*os.Root, error) { return os.OpenRoot(path + "/.") }

// OpenRootIn is OpenRoot for a folder below another root.
func OpenRootIn(root *os.Root, path string) (*os.Root, error) { return root.OpenRoot(path + "/.") }

// SyncFile syncs the contents of a regular file to disk.
func SyncFile(path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ReadFileIn is [ReadFile] for a path below root.
func ReadFileIn(root *os.Root, path string, most int64) ([]byte, error) {
	f, err := OpenIn(root, path)
	if err != nil {
		return nil, err
	}
	return readAll(f, most)
}

// ReadFile returns the contents of the regular file at path, of at most that many
// bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return readAll(f, most)
}

// readAll reads f, and closes it.
func readAll(f *os.File, most int64) ([]byte, error) {
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("it has more than %d bytes", most)}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Free is how many bytes this process may write to the file system of path.
func Free(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return free(&st), nil
}

// FreeOn is [Free] for the file system of an open file or directory.
func FreeOn(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	return free(&st), nil
}

func free(st *unix.Statfs_t) int64 {
	return int64(st.Bavail) * int64(st.Bsize) //nolint:gosec,unconvert // types differ between systems
}
