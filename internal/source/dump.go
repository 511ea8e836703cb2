package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
	"github.com/slideatlas/ptiffstore/internal/mongodump"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A dump is a source whose items are the images in a folder that mongodump wrote.
type dump struct {
	path    string
	indexes string // folder of the indexes of its images
	filter  nameFilter

	life     context.Context // done at Close
	end      context.CancelFunc
	builders sync.WaitGroup
	building sync.Mutex // one index at a time, because that reads a whole file

	mu       sync.Mutex
	known    *snapshot
	indexing map[slideatlas.ID]*indexing
}

// A snapshot is what the file of the images contains.
type snapshot struct {
	id     fsx.Identity // of the file
	images map[slideatlas.ID]image
	order  []slideatlas.ID
	odd    []Unreadable
}

// An indexing is an index that is being written.
type indexing struct {
	done chan struct{} // closed with err set
	err  error
}

// newDump returns the source of a dump, with its indexes in the folder indexes, which is
// created when the first one is written.
func newDump(path, indexes string, filter nameFilter) *dump {
	d := &dump{path: path, indexes: indexes, filter: filter, indexing: map[slideatlas.ID]*indexing{}}
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// Close waits for the indexes that are being written, whose writing it cancels.
func (d *dump) Close() error {
	d.mu.Lock()
	d.end()
	d.mu.Unlock()
	d.builders.Wait()
	return nil
}

// open opens the folder, which may have been replaced. The caller closes it.
func (d *dump) open() (*mongodump.Folder, error) {
	f, err := mongodump.Open(d.path, d.indexes)
	return f, dumpError(err)
}

// dumpError classifies the error of a dump.
func dumpError(err error) error {
	switch {
	case err == nil, fsx.IsGone(err) && !errors.Is(err, mongodump.ErrNoFolder):
		return err
	case errors.Is(err, mongodump.ErrChanged):
		return fmt.Errorf("%w: %w", ErrChanged, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, slideatlas.ErrNoTile), errors.Is(err, slideatlas.ErrNotJPEG):
		return err
	}
	return &unreachable{"dump", err}
}

// FileSystem returns the file system of the folder.
func (d *dump) FileSystem() FileSystem {
	m, err := FileSystemOf(d.path)
	if err != nil {
		return FileSystem{}
	}
	return m
}

// Root returns the identity of the folder.
func (d *dump) Root() (fsx.Identity, error) {
	id, err := fsx.Stat(d.path)
	if err != nil {
		return id, &unreachable{"dump", fmt.Errorf("%w: %w", mongodump.ErrNoFolder, fsx.WithoutPath(err))}
	}
	s, err := d.snapshot(context.Background())
	if err == nil && len(s.order)+len(s.odd) == 0 {
		err = &unreachable{"dump", errNoImages}
	}
	return id, err
}

// snapshot returns the images, which are read again after their file changed.
func (d *dump) snapshot(ctx context.Context) (*snapshot, error) {
	f, err := d.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Check(mongodb.Images); err != nil {
		return nil, dumpError(err)
	}
	id, err := f.Identify(mongodb.Images)
	if err != nil {
		return nil, dumpError(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != nil && d.known.id == id {
		return d.known, nil
	}
	s := &snapshot{id: id, images: map[slideatlas.ID]image{}}
	if err := s.read(ctx, f); err != nil {
		return nil, dumpError(err)
	}
	d.known = s
	return s, nil
}

// read reads the file of the images. What stands behind a damage is unknown.
func (s *snapshot) read(ctx context.Context, f *mongodump.Folder) error {
	n := 0
	err := f.Documents(ctx, mongodb.Images, func(doc bson.Raw) error {
		if n++; n > maxImages {
			return errManyImages
		}
		im, err := decode(doc)
		if err != nil {
			s.odd = append(s.odd, odd(n, err))
			return nil
		}
		if _, twice := s.images[im.ID]; twice {
			s.odd = append(s.odd, odd(n, errors.New("an earlier document has the same _id")))
			return nil
		}
		s.images[im.ID] = im
		s.order = append(s.order, im.ID)
		return nil
	})
	if damage, ok := errors.AsType[*mongodump.DamageError](err); ok {
		s.odd = append(s.odd, Unreadable{Err: damage})
		return nil
	}
	return err
}

// List lists the images by their ids.
func (d *dump) List(ctx context.Context, o ListOptions) (*Listing, error) {
	l := newListing()
	if err := ctx.Err(); err != nil || o.Below != "" {
		return l, err
	}
	s, err := d.snapshot(ctx)
	if err != nil {
		return l, err
	}
	if len(s.order)+len(s.odd) == 0 {
		return l, &unreachable{"dump", errNoImages}
	}
	f, err := d.open()
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.Unreadable = slices.Clone(s.odd)
	for _, id := range slices.Sorted(slices.Values(s.order)) {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		im := s.images[id]
		if !d.filter.selects(im) {
			continue
		}
		identity, err := identifyIn(f, im)
		if err != nil {
			l.Unreadable = append(l.Unreadable, Unreadable{Path: string(id), Err: err})
			continue
		}
		o.Item(Item{Path: string(id), Identity: identity, Closed: true})
	}
	return l, f.Forget(func(id slideatlas.ID) bool { _, ok := s.images[id]; return ok })
}

// identifyIn returns the identity of an image, with that of the file of its tiles.
func identifyIn(f *mongodump.Folder, im image) (fsx.Identity, error) {
	id, err := f.Identify(string(im.ID))
	if errors.Is(err, mongodump.ErrNoCollection) {
		return im.identity(0), nil
	}
	return im.identity(id.Size, id.Ino, uint64(id.Size), uint64(id.MTime), uint64(id.CTime)), dumpError(err) //nolint:gosec // all 64 bits count
}

// find returns the document of the image at a path.
func (d *dump) find(ctx context.Context, path string) (image, error) {
	id, err := parsePath(path)
	if err != nil {
		return image{}, err
	}
	s, err := d.snapshot(ctx)
	if err != nil {
		return image{}, err
	}
	im, ok := s.images[id]
	if !ok || !d.filter.selects(im) {
		return image{}, fs.ErrNotExist
	}
	return im, nil
}

// Identify returns the identity of the image at path.
func (d *dump) Identify(path string) (fsx.Identity, error) {
	im, err := d.find(d.life, path)
	if err != nil {
		return fsx.Identity{}, err
	}
	f, err := d.open()
	if err != nil {
		return fsx.Identity{}, err
	}
	defer f.Close()
	return identifyIn(f, im)
}

// Slide opens the image at path. If its tiles have no index yet, that is written first,
// also after ctx is done.
func (d *dump) Slide(ctx context.Context, path string) (*Slide, error) {
	im, err := d.find(ctx, path)
	if err != nil {
		return nil, err
	}
	id, err := d.Identify(path)
	if err != nil || im.Unsupported != "" || id.Size == 0 {
		if err != nil {
			return nil, err
		}
		return im.open(id, 0, nil, nil)
	}
	tiles, err := d.tiles(ctx, im.ID)
	if err != nil {
		return nil, err
	}
	if tiles.DamagedAt >= 0 {
		s := &Slide{Identity: id, Names: im.names(), close: tiles.Close}
		s.Err = &tiff.FormatError{Offset: tiles.DamagedAt, Msg: fmt.Sprintf("the dump of the image is damaged after %d tiles", tiles.Tiles)}
		return s, nil
	}
	read := func(dst []byte, t slideatlas.Tile) ([]byte, error) {
		b, err := tiles.Append(dst, t)
		return b, dumpError(err)
	}
	return im.open(id, int64(tiles.Contents.Tiles), read, tiles.Close)
}

// tiles returns the tiles of an image, and waits for their index until ctx is done.
func (d *dump) tiles(ctx context.Context, id slideatlas.ID) (*mongodump.Tiles, error) {
	f, err := d.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := f.Indexed(id)
	if !errors.Is(err, mongodump.ErrNoIndex) {
		return t, dumpError(err)
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrIndexing, ctx.Err())
	default:
	}
	i := d.index(id)
	select {
	case <-i.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrIndexing, ctx.Err())
	}
	if i.err != nil {
		return nil, i.err
	}
	if t, err = f.Indexed(id); errors.Is(err, mongodump.ErrNoIndex) {
		err = ErrChanged // meanwhile
	}
	return t, dumpError(err)
}

// index writes the index of an image, once for all callers.
func (d *dump) index(id slideatlas.ID) *indexing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.indexing[id]; i != nil {
		return i
	}
	i := &indexing{done: make(chan struct{})}
	if d.life.Err() != nil {
		i.err = fs.ErrClosed
		close(i.done)
		return i
	}
	d.indexing[id] = i
	d.builders.Go(func() {
		d.building.Lock()
		i.err = d.write(id)
		d.building.Unlock()
		d.mu.Lock()
		delete(d.indexing, id)
		d.mu.Unlock()
		close(i.done)
	})
	return i
}

func (d *dump) write(id slideatlas.ID) error {
	f, err := d.open()
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := f.Tiles(d.life, id)
	if err != nil {
		return dumpError(err)
	}
	return t.Close()
}
