package managed

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// Uploads is the folder in a store's incoming folder that holds incomplete uploads and the
// records of completed ones. Scans skip it.
const Uploads = ".ptiffstore-uploads"

const (
	// uploadRecord limits the size of a record that is read.
	uploadRecord = 1 << 20
	// uploadTime is how long a record can be written before its file is moved to the
	// incoming folder.
	uploadTime = 10 * time.Minute
)

// Uploaded reports whether a file of the incoming folder is a completed upload, by its path
// in the store. No further bytes of such a file arrive, however incomplete it is. Records
// are on disk, so that it does not matter which process received the file.
func Uploaded(s *catalog.Store, file string, id fsx.Identity) bool {
	if catalog.IsSeries(file) {
		return uploadedSeries(s, file)
	}
	name, ok := strings.CutPrefix(file, Incoming)
	if !ok || path.Base(name) != name {
		return false
	}
	in, err := fsx.OpenRoot(IncomingOf(s))
	if err != nil {
		return false
	}
	defer in.Close()
	dir, err := fsx.OpenRootIn(in, Uploads)
	if err != nil {
		return false
	}
	defer dir.Close()
	list, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return false
	}
	since := time.Unix(0, id.CTime).Add(-uploadTime)
	for _, entry := range list {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		if info, err := entry.Info(); err != nil || info.ModTime().Before(since) || info.Size() > uploadRecord {
			continue
		}
		if r, err := readUpload(dir, entry.Name()); err == nil && r.As == name && r.MTime == id.MTime && r.Length == id.Size && r.Offset == r.Length {
			return true
		}
	}
	return false
}

// uploadedSeries reports whether all files of a series are completed uploads.
func uploadedSeries(s *catalog.Store, at string) bool {
	d, files, err := membersOf(s, at)
	if err != nil {
		return false
	}
	d.Close()
	return !slices.ContainsFunc(files, func(m source.Member) bool { return !Uploaded(s, m.Path, m.Identity) })
}

// An uploadedFile is the part of an upload's record that identifies its file.
type uploadedFile struct {
	As             string // name in the incoming folder
	MTime          int64
	Length, Offset int64
}

func readUpload(dir *os.Root, name string) (*uploadedFile, error) {
	f, err := fsx.OpenFileIn(dir, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, uploadRecord+1))
	if err != nil || len(b) > uploadRecord {
		return nil, errors.Join(err, errors.New("the record of an upload is too long"))
	}
	r := new(uploadedFile)
	return r, json.Unmarshal(b, r)
}
