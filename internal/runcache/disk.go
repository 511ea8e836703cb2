package runcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A disk keeps runs in a folder that processes may share. All of it may be lost: files are not
// flushed, a checksum shows which are complete, and any of them may be deleted at any time.
//
// The layout is {folder}/{two letters}/{image}/{revision}-{level}-{row}-{column}: image and
// revision are hashes, and the column is that of the first tile. A file has
//
//	bytes       contents
//	4           "PTSR"
//	8           offset of the run in the file of the slide
//	            the run
//	32          SHA-256 of all before and the path in the folder
//
// The least recently used files are removed first: the modification time of a file is the time
// of its last use, within an hour.
type disk struct {
	dir  string
	max  int64
	log  *slog.Logger
	size atomic.Int64 // bytes of all files, when they were counted last, and of those added since

	uncounted atomic.Int64 // bytes that were added since all files were counted
	queue     chan *run    // to be written
	stop      chan struct{}
	wg        sync.WaitGroup
	once      sync.Once // closes it
}

const (
	diskMagic = "PTSR"
	diskHead  = len(diskMagic) + 8
	diskTail  = sha256.Size
	maxFile   = 65 << 20 // bytes: a tile has at most 64 MiB
	maxQueue  = 64       // runs to be written; further ones are not
	usedEvery = time.Hour
	newPrefix = ".new-"
)

func openDisk(dir string, most int64, log *slog.Logger) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the folder of the bucket cache: %w", err)
	}
	d := &disk{dir: dir, max: most, log: log, queue: make(chan *run, maxQueue), stop: make(chan struct{})}
	d.wg.Go(d.write)
	return d, nil
}

// close ends writing.
func (d *disk) close() {
	close(d.stop)
	d.wg.Wait()
}

// put writes a run, later. If too many are to be written, it is not.
func (d *disk) put(r *run) {
	select {
	case d.queue <- r:
	default:
	}
}

// write writes runs until the disk is closed.
func (d *disk) write() {
	d.trim()
	for {
		select {
		case <-d.stop:
			return
		case r := <-d.queue:
			if err := d.store(r); err != nil {
				d.log.Warn("cannot write to the bucket cache", "err", fsx.WithoutPath(err))
			}
		}
		if d.uncounted.Load() > d.max/20 || d.size.Load() > d.max {
			d.trim()
		}
	}
}

// folder returns the folder of an image.
func (d *disk) folder(id string) string {
	name := hashed(id)
	return filepath.Join(d.dir, name[:2], name)
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// name returns the name of the file of a run that begins with a tile.
func name(k tileKey) string {
	return fmt.Sprintf("%s-%d-%d-%d", hashed(k.revision), k.level, k.row, k.col)
}

// first returns the tile in the run with the smallest column.
func (r *run) first() tileKey {
	return slices.MinFunc(r.keys, func(a, b tileKey) int { return a.col - b.col })
}

// store writes the file of a run.
func (d *disk) store(r *run) error {
	k := r.first()
	dir, file := d.folder(k.id), name(k)
	b := binary.BigEndian.AppendUint64([]byte(diskMagic), uint64(r.off)) //nolint:gosec // not negative
	b = append(b, r.data...)
	b = append(b, checksum(b, dir, file)...)
	temp, err := create(dir, b)
	if errors.Is(err, fs.ErrNotExist) { // the first run of the image
		if err = os.MkdirAll(dir, 0o700); err == nil {
			temp, err = create(dir, b)
		}
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(dir, file))
	}
	if err != nil && temp != "" {
		os.Remove(temp)
	}
	if err == nil {
		d.size.Add(int64(len(b)))
		d.uncounted.Add(int64(len(b)))
	}
	return err
}

// create writes a new file in a folder, and returns its path, also if it is incomplete.
func create(dir string, b []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, newPrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	return f.Name(), errors.Join(err, f.Close())
}

// checksum returns the checksum of a file: also of its name, so that none is taken for another.
func checksum(b []byte, dir, file string) []byte {
	h := sha256.New()
	h.Write(b)
	h.Write([]byte(filepath.Base(dir) + "/" + file))
	return h.Sum(nil)
}

// get returns the part of a run that files have, and its offset; nil if they have not the tile that was
// requested. The files may be of runs that begin and end at other tiles.
func (d *disk) get(r *run) (off int64, data []byte) {
	last := slices.MaxFunc(r.keys, func(a, b tileKey) int { return a.col - b.col })
	k := r.first()
	for k.col = max(0, k.col-maxTiles+1); k.col <= last.col; k.col++ {
		at, b := d.read(k)
		if at < r.off {
			b = b[min(r.off-at, int64(len(b))):]
			at = r.off
		}
		b = b[:max(0, min(int64(len(b)), r.end()-at))]
		switch end := off + int64(len(data)); {
		case len(b) == 0:
		case data != nil && at <= end:
			if n := end - at; n < int64(len(b)) {
				data = append(data, b[n:]...)
			}
		case data != nil && off <= r.want.Offset && end >= r.want.End():
			return off, data
		default:
			off, data = at, b[:len(b):len(b)]
		}
	}
	if off <= r.want.Offset && off+int64(len(data)) >= r.want.End() {
		return off, data
	}
	return 0, nil
}

// read returns the bytes of the run that begins with a tile, and their offset; none if there is
// no such file, or it is damaged.
func (d *disk) read(k tileKey) (off int64, b []byte) {
	dir, file := d.folder(k.id), name(k)
	path := filepath.Join(dir, file)
	f, err := os.Open(path)
	if err != nil {
		return 0, nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() > maxFile {
		return 0, nil
	}
	b = make([]byte, fi.Size())
	n, _ := f.ReadAt(b, 0)
	if n != len(b) || n <= diskHead+diskTail || string(b[:len(diskMagic)]) != diskMagic ||
		!bytes.Equal(checksum(b[:n-diskTail], dir, file), b[n-diskTail:]) {
		os.Remove(path)
		return 0, nil
	}
	if time.Since(fi.ModTime()) > usedEvery {
		now := time.Now()
		os.Chtimes(path, now, now) // only the order of removal depends on it
	}
	v := binary.BigEndian.Uint64(b[len(diskMagic):])
	return int64(v), b[diskHead : n-diskTail] //nolint:gosec // it has the checksum of one that we wrote
}

// forget removes the runs of an image.
func (d *disk) forget(id string) {
	if err := os.RemoveAll(d.folder(id)); err != nil {
		d.log.Warn("cannot remove an image from the bucket cache", "err", fsx.WithoutPath(err))
	}
}

// A diskFile is a file in the folder.
type diskFile struct {
	path string
	size int64
	used time.Time
}

// trim counts all files, also those of other processes, and removes the least recently used ones
// until a tenth of the limit is free.
func (d *disk) trim() {
	d.uncounted.Store(0)
	all := d.list()
	var total int64
	for _, f := range all {
		total += f.size
	}
	if total > d.max {
		slices.SortFunc(all, func(a, b diskFile) int { return a.used.Compare(b.used) })
		for _, f := range all {
			if total <= d.max-d.max/10 {
				break
			}
			if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				d.log.Warn("cannot remove a file from the bucket cache", "err", fsx.WithoutPath(err))
				continue
			}
			os.Remove(filepath.Dir(f.path)) // if it is empty
			total -= f.size
		}
	}
	d.size.Store(total)
}

// list returns the files in the folder, and removes those that killed processes have left behind.
func (d *disk) list() []diskFile {
	var all []diskFile
	filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error { //nolint:errcheck // what cannot be read is not counted
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return nil
		}
		if strings.HasPrefix(e.Name(), newPrefix) && time.Since(fi.ModTime()) > usedEvery {
			os.Remove(path)
			return nil
		}
		all = append(all, diskFile{path, fi.Size(), fi.ModTime()})
		return nil
	})
	return all
}
