package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A content is what the header of a file shows.
type content uint8

const (
	notDICOM   content = iota
	otherClass         // a DICOM object that is not an image of a slide
	instance           // of a slide
	noHeader           // it ends before its series is known
	badHeader          // DICOM, but its series cannot be read
)

// A header is what was read from the beginning of a file.
type header struct {
	content
	series string // SeriesInstanceUID, if it is an instance
	uid    string // SOPInstanceUID
}

// readHeader reads the header of an open file.
func readHeader(f *os.File, size int64) (header, error) {
	head := make([]byte, 132)
	if n, err := f.ReadAt(head, 0); n < len(head) {
		if size < int64(len(head)) {
			return header{content: noHeader}, nil
		}
		return header{}, fmt.Errorf("cannot read the header of the file: %w", fsx.WithoutPath(err))
	}
	if !dicom.IsDICOM(head) {
		if len(bytes.Trim(head, "\x00")) == 0 { // space that is reserved for a copy
			return header{content: noHeader}, nil
		}
		return header{content: notDICOM}, nil
	}
	d, err := dicom.Read(f, size)
	if d != nil {
		class := d.Data.Text(dicom.SOPClassUID)
		if class == "" {
			class = d.Meta.Text(dicom.MediaStorageSOPClassUID)
		}
		if class != "" && class != dicom.WholeSlide {
			return header{content: otherClass}, nil
		}
		if series := d.Data.Text(dicom.SeriesInstanceUID); catalog.IsUID(series) {
			return header{instance, series, d.Data.Text(dicom.SOPInstanceUID)}, nil
		}
	}
	switch {
	case errors.Is(err, dicom.ErrTruncated):
		return header{content: noHeader}, nil
	case err == nil, isSlideError(err):
		return header{content: badHeader}, nil
	}
	return header{}, fsx.WithoutPath(err)
}

// otherNames are the suffixes of files that are never read as DICOM: a TIFF may have the header
// of a DICOM file before its own, and is a TIFF.
var otherNames = []string{".tif", ".tiff", ".ptif", ".ptiff", ".btf", ".tf8", ".svs", ".png", ".jpg", ".jpeg"}

// mayBeDICOM reports whether the header of a file of that name is read.
func mayBeDICOM(name string) bool {
	name = strings.ToLower(name)
	for _, end := range otherNames {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return true
}

// isNamedDICOM reports whether a file is DICOM by its name.
func isNamedDICOM(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".dcm") }

// maxHeaders is how many headers are remembered at least.
const maxHeaders = 1 << 16

// headers remembers the headers of files, by their identities, so that a scan opens only files
// that have changed. It is the same for all sources of the process: each scan opens its own.
var headers headerCache

// A headerCache has two generations: those of the older one are forgotten when the newer one is
// full, unless they were used.
type headerCache struct {
	mu         sync.Mutex
	newer, old map[fsx.Identity]header
	series     map[fileKey]string // of the files that were instances, which may be written again
	opened     int                // files, since the start
}

// A fileKey is a file in a folder, whatever its contents. (The inode numbers of a file and of a
// folder are soon those of others, after they were removed.)
type fileKey struct {
	dev, folder, ino uint64
	name             string
}

// find returns a remembered header.
func (c *headerCache) find(id fsx.Identity) (header, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.newer[id]; ok {
		return h, true
	}
	h, ok := c.old[id]
	if ok {
		c.add(id, h)
	}
	return h, ok
}

// put remembers a header.
func (c *headerCache) put(folder uint64, name string, id fsx.Identity, h header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(id, h)
	if h.content == instance {
		if c.series == nil || len(c.series) >= maxHeaders {
			c.series = map[fileKey]string{}
		}
		c.series[fileKey{id.Dev, folder, id.Ino, name}] = h.series
	}
}

// add adds a header. The caller must hold mu.
func (c *headerCache) add(id fsx.Identity, h header) {
	if len(c.newer) >= maxHeaders {
		c.old, c.newer = c.newer, nil
	}
	if c.newer == nil {
		c.newer = map[fsx.Identity]header{}
	}
	c.newer[id] = h
}

// formerSeries returns the series of a file that is being written again, or "".
func (c *headerCache) formerSeries(folder uint64, name string, id fsx.Identity) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.series[fileKey{id.Dev, folder, id.Ino, name}]
}

// header returns the header of the file name in the open directory dir with the inode number
// folder, and its present identity; id is the one that it had. The error is that of opening or reading the file.
func (c *headerCache) header(dir int, folder uint64, name string, id fsx.Identity) (header, fsx.Identity, error) {
	if h, ok := c.find(id); ok {
		return h, id, nil
	}
	f, err := openInstance(dir, name)
	if err != nil {
		return header{}, id, err
	}
	defer f.Close()
	c.mu.Lock()
	c.opened++
	c.mu.Unlock()
	if id, err = fsx.IdentifyFile(f); err != nil {
		return header{}, id, err
	}
	h, err := readHeader(f, id.Size)
	if err != nil {
		return h, id, err
	}
	after, err := fsx.IdentifyFile(f)
	if err != nil {
		return h, id, err
	}
	if after == id {
		c.put(folder, name, id, h)
	}
	return h, after, nil
}

// openInstance opens a file in an open directory. No symbolic link is followed; other kinds of
// file count as not existing.
func openInstance(dir int, name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ELOOP:
			return nil, fs.ErrNotExist
		case err != nil:
			return nil, err
		}
		return os.NewFile(uintptr(fd), "file"), nil
	}
}
