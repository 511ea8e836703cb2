// Package tile serves the tiles of slides: it finds the bytes of a tile, determines how
// caches may store it, and checks that the file has not changed since it was opened. It
// is independent of HTTP libraries, databases and queues: callers tell it which file an
// image is in, and provide the function that renders tiles which are not stored.
//
// Serving a stored tile takes no lock: a lock-free map returns the image, an atomic
// pointer its open slide, one positioned read fetches the bytes into a pooled buffer,
// and one fstat proves that they belong to the revision that the answer names.
package tile

import (
	"context"
	"errors"
	"image"
	"image/color"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/internal/runcache"
	"github.com/slideatlas/ptiffstore/slide"
)

var (
	// ErrNoImage reports an image that is unknown or not available.
	ErrNoImage = errors.New("no such image")
	// ErrAmbiguous reports a file name that several images have.
	ErrAmbiguous = errors.New("several images have this file name")
	// ErrOldRevision reports an address with a revision other than the current one.
	ErrOldRevision = errors.New("not the current revision")
	// ErrChanged reports a file that is no longer the one in the catalog. Data read from
	// it are discarded; it can be read again after it has been inspected.
	ErrChanged = errors.New("the file has changed")
	// ErrUnreachable reports a file that cannot be opened at present, for example because
	// its disk is not mounted.
	ErrUnreachable = errors.New("the file cannot be opened at present")
	// ErrUnreadable reports an unchanged file whose contents cannot be read. Such a tile
	// is never answered with a blank one.
	ErrUnreadable = errors.New("the file is damaged or not supported")
	// ErrTooLarge reports an image that has too many pixels to be decoded, or needs more
	// memory than decoding may use.
	ErrTooLarge = errors.New("too large to be decoded")
	// ErrColor reports a request for colours other than those of [ParseColor].
	ErrColor = errors.New("icc must be none, embed or srgb")
	// ErrBusy reports that too many tiles are being rendered, or slides opened, at once.
	ErrBusy = errors.New("too many requests at once")
)

// A Store holds what all images of a store have in common.
type Store struct {
	ID         string
	ExternalID string       // in another application, which requests may name instead of ID; "" if it has none
	Kind       string       // "" for a folder of files; slides of other kinds are opened by [Options.Open]
	Root       string       // directory of its files
	Background color.RGBA   // colour of tiles that the scanner skipped
	Origin     slide.Origin // of tile names in addresses without an origin
	Public     bool         // its tiles are visible to everybody, and shared caches may store them
	HideLabels bool         // labels and file names are visible to admins only
	Elsewhere  string       // base URL of the server that has its files; "" if this one has
	// Moves reports that the program itself renames files of the store while they are in
	// use, and then puts the image again.
	Moves bool
}

// A File is the file of an image, as of one revision.
type File struct {
	ID       string // of the image
	Store    *Store
	Path     string // relative to Store.Root, or absolute; the path of an item in stores of other kinds, and of a set
	Set      bool   // its slide is a set of files, which [Options.Open] opens
	Name     string // by which [Server.ImageByName] finds the image; "" for none
	Revision string
	Identity fsx.Identity // of the file that was inspected and found complete
	// ExternalID is the id of the image in another application, which may decide about
	// access; "" if it has none. [Server.Find] finds the image by it if it is an ObjectId.
	ExternalID string
	// FormerStores are the ids and external ids of the stores in which the image was before,
	// separated by spaces. Requests may name them instead of the store.
	FormerStores string
}

func (f *File) abs() string {
	if filepath.IsAbs(f.Path) {
		return f.Path
	}
	return filepath.Join(f.Store.Root, f.Path)
}

// in reports whether a request may name that store, by its id or its id in another
// application. Any image is in the store "".
func (f *File) in(store string) bool {
	if store == "" || store == f.Store.ID || store == f.Store.ExternalID {
		return true
	}
	if f.FormerStores == "" {
		return false
	}
	return slices.Contains(strings.Fields(f.FormerStores), store)
}

// A RenderRequest describes a tile that no file stores and that must be rendered.
type RenderRequest struct {
	Slide      *slide.Slide
	Image      string // id
	Revision   string
	Background color.RGBA
	Zoom       int // zoom level; -1 if Level is used
	Level      int // stored level to decode if Zoom is -1
	X, Y       int
	// Width and Height, in pixels, are the size of the top left part to crop the tile to,
	// or 0 for the complete tile. With Shrink, zoom level 0 is scaled to that size.
	Width, Height int
	Shrink        bool
	// Part, if not empty, is the part of the image to render at Width × Height pixels, from
	// the image halved Halved times; Zoom, X and Y are then not used.
	Part   image.Rectangle
	Halved int
	Lease
}

// A Lease allows work on an open slide to continue after the request that started it was
// answered, as a read from a file system that does not answer cannot be cancelled.
type Lease struct {
	Store string // id of the slide's store
	// Current reports whether the file is still the one that was opened. Otherwise the
	// result must not be cached.
	Current func() bool
	// Hold keeps the file open until release is called; nil if the caller waits for the
	// work. Without it, a late read could read from another file with the same
	// descriptor.
	Hold func() (release func())
}

// Options are what a [Server] needs from its surroundings.
type Options struct {
	// Render renders a tile or returns a cached one: a complete JPEG that must not be
	// modified. Its error is [slide.ErrEmptyTile], [ErrBusy], [ErrTooLarge], or the
	// reason why the file cannot be read.
	Render func(context.Context, RenderRequest) ([]byte, error)
	// Convert returns a JPEG with its colours converted to sRGB by a table; key identifies
	// the result in caches. Its errors are those of Render.
	Convert func(ctx context.Context, key string, body []byte, t *icc.Table, lease Lease) ([]byte, error)
	// Blank returns a JPEG of one colour.
	Blank func(width, height int, c color.RGBA) ([]byte, error)
	// Open opens a slide of a store that is not a folder of files, or one that is a set of
	// files; nil without such slides.
	// Its error is [ErrUnreachable], [ErrChanged] or [ErrBusy], or says why the slide cannot
	// be read. It may take as long as a server does not answer.
	Open func(ctx context.Context, f *File) (Opened, error)
	// Changed, if not nil, is called with the id of an image whose file is no longer the
	// one in the catalog. It must not block.
	Changed func(image string)
	// MaxBytes limits the memory of open slides in bytes, 96 MiB if 0. MaxFiles limits
	// their number, 512 if 0.
	MaxBytes int64
	MaxFiles int
	// MaxSending limits the memory of tiles that are being sent in bytes, 128 MiB if 0.
	// Further requests get [ErrBusy]. Full, if not nil, is called for each of those and
	// must not block.
	MaxSending int64
	Full       func()
	// MaxCached limits the memory in bytes of cached tiles, 64 MiB if 0; none are cached if it is
	// negative.
	MaxCached int64
	// Runs caches the tiles of buckets; a small one in memory if it is nil.
	Runs *runcache.Cache
	// Envelope are the bytes before and after a tile in answers with several parts. Cached tiles
	// of files are kept with them: see [Answer.Enveloped].
	Envelope [2]string
	Log      *slog.Logger
}

// PathCheck is the minimum time between two comparisons of the path of an open slide
// with the open file. For so long after a file was replaced by a rename, requests may
// still get tiles of the previous file, under its revision.
const PathCheck = time.Second

// A Server maps images to files and caches their open slides. It is safe for concurrent
// use.
type Server struct {
	o          Options
	images     sync.Map // id → *Image
	count      atomic.Int64
	keyMu      sync.RWMutex
	names      keys     // by file name; not used by requests with an id
	external   keys     // by external id, of those that are ObjectIds
	blanks     sync.Map // blankKey → []byte
	blankCount atomic.Int64
	sending    atomic.Int64 // bytes of answers that have not been released
	stores     sync.Map     // id of a store → *storeState
	openFile   func(path string) (*os.File, error)
	statFile   func(path string) (fsx.Identity, error)
	moveTime   time.Duration // how long requests wait for the new path of a file
	cache      cache
	tiles      *tileCache
	readings   readings
	runs       *runcache.Cache
	profiles   profile.Cache
}

// New returns a server without images.
func New(o Options) *Server {
	if o.MaxBytes == 0 {
		o.MaxBytes = 96 << 20
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = 512
	}
	if o.MaxSending == 0 {
		o.MaxSending = 128 << 20
	}
	if o.MaxCached == 0 {
		o.MaxCached = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Runs == nil {
		o.Runs, _ = runcache.New(runcache.Options{MaxBytes: 32 << 20}) // without a folder there is no error
	}
	s := &Server{o: o, runs: o.Runs, names: keys{}, external: keys{}, openFile: fsx.Open, statFile: fsx.Stat, moveTime: moveTime, tiles: newTileCache(o.MaxCached, o.Envelope)}
	s.cache.maxBytes, s.cache.maxFiles = o.MaxBytes, o.MaxFiles
	return s
}

// Put adds the image of f or replaces its file. Requests under way finish with the
// previous file. An unchanged Store must be passed as the same pointer, otherwise its
// slides are closed and reopened.
func (s *Server) Put(f File) {
	if old, ok := s.images.Load(f.ID); ok && old.(*Image).File == f {
		return
	}
	im := &Image{File: f, srv: s, path: f.abs(), store: s.state(f.Store.ID)}
	old, loaded := s.images.Swap(f.ID, im)
	if !loaded {
		s.count.Add(1)
		s.addKeys(&f)
		return
	}
	was := old.(*Image)
	if was.File.Name != f.Name || was.File.ExternalID != f.ExternalID {
		s.dropKeys(&was.File)
		s.addKeys(&f)
	}
	was.close()
	was.replaced()
}

// Delete removes the image.
func (s *Server) Delete(id string) {
	old, loaded := s.images.LoadAndDelete(id)
	if !loaded {
		return
	}
	s.count.Add(-1)
	im := old.(*Image)
	s.dropKeys(&im.File)
	im.close()
	im.replaced()
	if im.File.Store.Kind != "" {
		s.runs.Forget(id)
	}
}

// Len returns the number of images.
func (s *Server) Len() int { return int(s.count.Load()) }

// Image returns the image with that id, or [ErrNoImage].
func (s *Server) Image(id string) (*Image, error) {
	im, ok := s.images.Load(id)
	if !ok {
		return nil, ErrNoImage
	}
	return im.(*Image), nil
}

// ImageByName returns the image with that file name in the store with that id or external
// id, or in all stores if it is "". The error is [ErrNoImage] if no image has the name, and
// [ErrAmbiguous] if several have it, as the wrong one would be of another patient. Images
// in other stores do not affect the result, so that a client cannot learn about them.
func (s *Server) ImageByName(store, file string) (*Image, error) {
	return s.byKey(s.names, store, file)
}

// byKey returns the only image of a store that has a key.
func (s *Server) byKey(m keys, store, key string) (*Image, error) {
	s.keyMu.RLock()
	ids := m[key]
	s.keyMu.RUnlock()
	var found *Image
	for _, id := range ids {
		im, err := s.Image(id)
		switch {
		case err != nil || !im.File.in(store):
			continue
		case found != nil:
			return nil, ErrAmbiguous
		}
		found = im
	}
	if found == nil {
		return nil, ErrNoImage
	}
	return found, nil
}

// Find returns the image that r names. ByFile reports that r names its file, which
// requires the permission to see file names.
//
// A request that may name a file may also have the image's external id, if that is an
// ObjectId: such ids say nothing about a patient. Then it never names a file.
func (s *Server) Find(r *Request) (im *Image, byFile bool, err error) {
	im, err = s.Image(r.Image)
	if err != nil && r.ByFile {
		if id, ok := objectID(r.Image); ok {
			im, err = s.byKey(s.external, r.Store, id)
		} else {
			im, err = s.ImageByName(r.Store, r.Image)
			byFile = true
		}
	}
	if err != nil {
		return nil, byFile, err
	}
	if !im.File.in(r.Store) {
		return nil, byFile, ErrNoImage
	}
	return im, byFile, nil
}

// IsObjectID reports whether s spells an ObjectId of MongoDB: such ids say nothing about a
// patient.
func IsObjectID(s string) bool {
	_, ok := objectID(s)
	return ok
}

// objectID returns the ObjectId of MongoDB that s spells, 24 hexadecimal digits, in lower
// case, and whether it spells one.
func objectID(s string) (string, bool) {
	if len(s) != 24 {
		return "", false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// Subject returns the file of im or, if im is nil, of any other image; nil if there is
// none. With it, permission for an image that does not exist is checked in the same way
// as for one that does.
func (s *Server) Subject(im *Image) *File {
	if im != nil {
		return &im.File
	}
	var f *File
	s.images.Range(func(_, v any) bool {
		f = &v.(*Image).File
		return false
	})
	return f
}

// Stats are figures for operators.
type Stats struct {
	Images    int            // in the server
	OpenFiles int            // open now: each slide counts as one, or as its files if it is a set
	OpenBytes int64          // memory of their tables
	MaxFiles  int            // limit of OpenFiles
	MaxBytes  int64          // limit of OpenBytes
	Opened    int64          // slides opened since the start
	Evicted   int64          // of those, closed to keep the limits
	Sending   int64          // bytes of tiles that are being sent
	Cached    int64          // bytes of cached tiles
	MaxCached int64          // limit of Cached
	Hits      int64          // requests for stored tiles that were cached
	Misses    int64          // requests for stored tiles that had to be read
	Runs      runcache.Stats // of the tiles of buckets
}

// Stats returns current figures.
func (s *Server) Stats() Stats {
	st := s.cache.stats()
	st.Images, st.Sending = s.Len(), s.sending.Load()
	st.Cached, st.MaxCached = s.tiles.bytes.Load(), max(0, s.tiles.max)
	st.Hits, st.Misses = s.tiles.hits.Load(), s.tiles.misses.Load()
	st.Runs = s.runs.Stats()
	return st
}

// Close closes every open slide that no request is using.
func (s *Server) Close() {
	s.images.Range(func(_, v any) bool {
		v.(*Image).close()
		return true
	})
}

// keys are the ids of the images that have a key.
type keys map[string][]string

func (s *Server) addKeys(f *File) {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	s.names.add(f.Name, f.ID)
	if id, ok := objectID(f.ExternalID); ok {
		s.external.add(id, f.ID)
	}
}

func (s *Server) dropKeys(f *File) {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	s.names.drop(f.Name, f.ID)
	if id, ok := objectID(f.ExternalID); ok {
		s.external.drop(id, f.ID)
	}
}

func (m keys) add(key, id string) {
	if key != "" {
		m[key] = append(m[key], id)
	}
}

func (m keys) drop(key, id string) {
	// A copy, as byKey reads the old slice without the lock.
	ids := slices.DeleteFunc(slices.Clone(m[key]), func(n string) bool { return n == id })
	if len(ids) == 0 {
		delete(m, key)
		return
	}
	m[key] = ids
}
