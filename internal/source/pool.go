package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

// maxIdle is how many sources stay open that are not in use.
const maxIdle = 16

// A Pool holds the open sources of stores that are not directories, so that scans and tiles
// share their connections. The zero value is usable, but not for dumps.
type Pool struct {
	// Indexes is the folder of the indexes of dumps, in a folder for each store. It is
	// created when the first one is written.
	Indexes string
	// Timeout limits the time of a request to a database; 10 s if 0.
	Timeout time.Duration
	// Bucket are the server and the credentials of all buckets.
	Bucket bucket.Settings

	mu     sync.Mutex
	open   map[string]*pooled // by store
	closed bool
}

// A pooled source is shared by its users.
type pooled struct {
	Source
	settings string // of the store
	refs     int
	used     time.Time // when it was last in use
	retired  bool      // it is closed as soon as it is not in use
}

// Open returns the source of a store that is not a directory. It is that of earlier calls
// unless the store has other settings now. The caller closes it.
func (p *Pool) Open(st *catalog.Store) (Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fs.ErrClosed
	}
	settings := strings.Join(slices.Concat([]string{string(st.Mode), st.Root, st.PasswordFile, ""}, st.Include, []string{""}, st.Exclude), "\x00")
	s := p.open[st.ID]
	if s != nil && s.settings != settings {
		p.retire(st.ID)
		s = nil
	}
	if s == nil {
		src, err := p.source(st)
		if err != nil {
			return nil, err
		}
		if p.open == nil {
			p.open = map[string]*pooled{}
		}
		s = &pooled{Source: src, settings: settings}
		p.open[st.ID] = s
	}
	s.refs++
	use := &shared{pooled: s, pool: p}
	if f, ok := s.Source.(Files); ok {
		return &sharedFiles{use, f}, nil
	}
	return use, nil
}

// source opens the source of a store.
func (p *Pool) source(st *catalog.Store) (Source, error) {
	if err := CheckPatterns(slices.Concat(st.Include, st.Exclude)); err != nil {
		return nil, err
	}
	filter := newNameFilter(st.Include, st.Exclude)
	switch st.Kind {
	case catalog.MongoDB:
		return newDatabase(st.Root, st.PasswordFile, filter, p.Timeout)
	case catalog.Dump:
		if p.Indexes == "" {
			return nil, errors.New("this process has no folder for the indexes of dumps")
		}
		return newDump(st.DumpFolder(), filepath.Join(p.Indexes, st.ID), filter), nil
	case catalog.S3:
		if st.Mode == catalog.Managed {
			return newManagedObjects(st.Root, p.Bucket)
		}
		return newObjects(st.Root, p.Bucket, bucketFilter(st.Include, st.Exclude))
	}
	return nil, errors.New("the store is a directory")
}

// OpenBucket returns the bucket of a store for work that may wait, with the connections of the
// store's source. The caller calls done after its last request.
func (p *Pool) OpenBucket(st *catalog.Store) (b *bucket.Bucket, done func(), err error) {
	if st.Kind != catalog.S3 {
		return nil, nil, errors.New("the store is not in a bucket")
	}
	src, err := p.Open(st)
	if err != nil {
		return nil, nil, err
	}
	s, _ := src.(*sharedFiles)
	o, ok := s.Source.(*objects)
	if !ok {
		src.Close()
		return nil, nil, errors.New("the store is not in a bucket")
	}
	return o.bucket.Background(), func() { src.Close() }, nil
}

// retire closes the source of a store as soon as it is not in use. The caller must hold mu.
func (p *Pool) retire(store string) {
	s := p.open[store]
	delete(p.open, store)
	s.retired = true
	if s.refs == 0 {
		s.Source.Close()
	}
}

// release ends a use of a source, and closes those that have been idle longest.
func (p *Pool) release(s *pooled) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.refs--
	s.used = time.Now()
	if s.refs == 0 && s.retired {
		return s.Source.Close()
	}
	idle, oldest := 0, ""
	for id, s := range p.open {
		if s.refs > 0 {
			continue
		}
		idle++
		if oldest == "" || s.used.Before(p.open[oldest].used) {
			oldest = id
		}
	}
	if idle > maxIdle {
		p.retire(oldest)
	}
	return nil
}

// Keep closes the sources of stores that are not kept, and removes the indexes of their
// dumps.
func (p *Pool) Keep(kept func(store string) bool) error {
	p.mu.Lock()
	for id := range p.open {
		if !kept(id) {
			p.retire(id)
		}
	}
	p.mu.Unlock()
	if p.Indexes == "" {
		return nil
	}
	entries, err := os.ReadDir(p.Indexes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fsx.WithoutPath(err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && !kept(e.Name()) {
			errs = append(errs, fsx.WithoutPath(os.RemoveAll(filepath.Join(p.Indexes, e.Name()))))
		}
	}
	return errors.Join(errs...)
}

// Close closes all sources as soon as they are not in use. Open fails from then on.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id := range p.open {
		p.retire(id)
	}
	return nil
}

// A shared is a use of a pooled source.
type shared struct {
	*pooled
	pool *Pool
	once sync.Once
}

// Close ends the use. Slides stay open.
func (s *shared) Close() (err error) {
	s.once.Do(func() { err = s.pool.release(s.pooled) })
	return err
}

// Slide opens an item, which is one more use of the source until it is closed.
func (s *shared) Slide(ctx context.Context, path string) (*Slide, error) {
	o, err := s.pooled.Slide(ctx, path)
	if err != nil {
		return nil, err
	}
	return s.use(o), nil
}

// Reopen opens an object, which is one more use of the source until it is closed.
func (s *shared) Reopen(path string, token []byte, open func(io.ReaderAt, int64) (*slide.Slide, error)) (*Slide, error) {
	r, ok := s.Source.(Remote)
	if !ok {
		return nil, errors.New("the items of the source are not objects")
	}
	o, err := r.Reopen(path, token, open)
	if err != nil {
		return nil, err
	}
	return s.use(o), nil
}

// use keeps the source open until the slide is closed.
func (s *shared) use(o *Slide) *Slide {
	s.pool.mu.Lock()
	s.refs++
	s.pool.mu.Unlock()
	end := o.close
	o.close = sync.OnceValue(func() error {
		var err error
		if end != nil {
			err = end()
		}
		return errors.Join(err, s.pool.release(s.pooled))
	})
	return o
}

// A sharedFiles is a use of a pooled source whose items are files.
type sharedFiles struct {
	*shared
	files Files
}

// Open opens an item for random reads. It must be closed before the source is.
func (s *sharedFiles) Open(path string) (Object, error) { return s.files.Open(path) }

// Ahead is how far the clock that sets the times of items is ahead of ours.
func (s *sharedFiles) Ahead() time.Duration {
	if c, ok := s.Source.(interface{ Ahead() time.Duration }); ok {
		return c.Ahead()
	}
	return 0
}

// FileSystem returns the file system of a dump.
func (s *shared) FileSystem() FileSystem {
	if d, ok := s.Source.(interface{ FileSystem() FileSystem }); ok {
		return d.FileSystem()
	}
	return FileSystem{}
}

// Indexed reports whether the tiles of the image at path have an index. Those of dumps have
// one when they are read.
func (s *shared) Indexed(ctx context.Context, path string) (bool, error) {
	if d, ok := s.Source.(interface {
		Indexed(context.Context, string) (bool, error)
	}); ok {
		return d.Indexed(ctx, path)
	}
	return true, nil
}
