// Package tile answers for the tile of a slide: which bytes it is, under which
// name caches may keep it, and whether the file they were read from is still
// the one that was opened. It knows no HTTP library, no database and no queue:
// which image lies in which file is put in from outside, and so is the making
// of tiles that no file stores.
//
// The way of a stored tile takes no lock: a lock-free map finds the image, an
// atomic pointer its open slide, one positioned read fetches the bytes into a
// pooled buffer, and one fstat proves that they belong to the revision they are
// answered under.
package tile

import (
	"context"
	"errors"
	"image/color"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

var (
	// ErrNoImage: no image of that id can be served: unknown, or not available.
	ErrNoImage = errors.New("tile: no such image")
	// ErrAmbiguous: a file name stands for more than one image.
	ErrAmbiguous = errors.New("tile: several images have this file name")
	// ErrOldRevision: the address names a revision that is not the current one.
	ErrOldRevision = errors.New("tile: not the current revision")
	// ErrChanged: the file is no longer the one that was cataloged. Whatever was
	// read of it is thrown away; it can be read again once it has been looked at.
	ErrChanged = errors.New("tile: the file changed")
	// ErrAway: the file cannot be opened at present, as when its disk is not mounted.
	ErrAway = errors.New("tile: the file is out of reach")
	// ErrUnreadable: the file is there and unchanged, and what should be in it
	// cannot be read. It is never answered with a blank.
	ErrUnreadable = errors.New("tile: unreadable")
	// ErrTooLarge: the picture has more pixels than are decoded, or takes more memory
	// than there is for that.
	ErrTooLarge = errors.New("tile: too large to be decoded")
	// ErrBusy: too many tiles are being made, or slides opened, at once.
	ErrBusy = errors.New("tile: too busy")
)

// A Store is what the tiles of a store have in common.
type Store struct {
	ID         string
	Root       string       // folder of its files
	Background color.RGBA   // shown where the scanner skipped bare glass
	Origin     slide.Origin // of tile names that do not say theirs
	Public     bool         // everybody may see its tiles, and shared caches may keep them
	HideLabels bool         // labels and names of files are for admins alone
	Elsewhere  string       // base URL of the server that has its files, if this one has not
}

// A File says which bytes an image is.
type File struct {
	ID       string // of the image
	Store    *Store
	Path     string // below Store.Root, or absolute
	Name     string // the file's name, a key for those who may see it
	Revision string
	Identity fsx.Identity // of the file that was looked at and found whole
	// ExternalID is the image's in another application, which may be the one that
	// knows who may see it; "" if it has none.
	ExternalID string
}

func (f *File) abs() string {
	if filepath.IsAbs(f.Path) {
		return f.Path
	}
	return filepath.Join(f.Store.Root, f.Path)
}

// RenderRequest describes a picture to be made because no file stores it.
type RenderRequest struct {
	Slide      *slide.Slide
	Image      string // id
	Revision   string
	Background color.RGBA
	Zoom       int // of the ladder; -1 with Level
	Level      int // stored level to decode, with Zoom -1
	X, Y       int
	// Width and Height, if not 0, crop the tile to its top left corner; with
	// Shrink they are the size the whole of zoom 0 is scaled to.
	Width, Height int
	Shrink        bool
	Lease
}

// A Lease lets work on an open slide go on after the request that began it was answered:
// nobody can call off a read from a file system that does not answer.
type Lease struct {
	Store string // id of the slide's store
	// Current reports whether the file is still the one that was opened. What was
	// made from another must not be kept.
	Current func() bool
	// Hold keeps the file open until release is called; nil if the caller waits for the
	// work. Without it a late read could read from another file with the same handle.
	Hold func() (release func())
}

// Options are what a [Server] needs from its surroundings.
type Options struct {
	// Make makes a picture, or returns a kept one: a complete JPEG that nobody
	// changes. Its errors are [slide.ErrEmptyTile], [ErrBusy], or what is wrong with
	// the file.
	Render func(context.Context, RenderRequest) ([]byte, error)
	// Blank returns a JPEG of one colour.
	Blank func(width, height int, c color.RGBA) ([]byte, error)
	// Changed, if not nil, is told of an image whose file is no longer the one that
	// was cataloged. It must not block.
	Changed func(image string)
	// MaxBytes bounds the memory of open slides, 96 MiB if 0. MaxFiles bounds their
	// file handles, 512 if 0.
	MaxBytes int64
	MaxFiles int
	// MaxSending bounds the memory of tiles that are being sent, 128 MiB if 0: beyond
	// it there is no answer but [ErrBusy]. Full, if not nil, is told of each of those,
	// and must not block.
	MaxSending int64
	Full       func()
	Log        *slog.Logger
}

// PathCheck is how often at most the path of an open slide is compared with the
// file that is open: so long can a slide that was replaced by a rename be
// answered from the file that was there before, under that file's revision.
const PathCheck = time.Second

// A Server knows the files of images and keeps their slides open. It is safe for
// concurrent use.
type Server struct {
	o          Options
	images     sync.Map // id → *Image
	count      atomic.Int64
	nameMu     sync.RWMutex
	names      map[string][]string // file name → ids; never on the way of a tile asked for by id
	blanks     sync.Map            // blankKey → []byte
	blankCount atomic.Int64
	sending    atomic.Int64 // bytes of answers that have not been released
	shelves    sync.Map     // id of a store → *shelf
	openFile   func(path string) (*os.File, error)
	statFile   func(path string) (fsx.Identity, error)
	cache      cache
}

// New returns a server that knows no image yet.
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, names: map[string][]string{}, openFile: fsx.Open, statFile: fsx.Stat}
	s.cache.maxBytes, s.cache.maxFiles = o.MaxBytes, o.MaxFiles
	return s
}

// Put makes the image of f known, or replaces what was known of it. Requests
// under way end with the file they began with. A Store that has not changed
// must be given as the same pointer, else its slides are closed and opened anew.
func (s *Server) Put(f File) {
	if old, ok := s.images.Load(f.ID); ok && old.(*Image).File == f {
		return
	}
	im := &Image{File: f, srv: s, path: f.abs(), shelf: s.shelf(f.Store.ID)}
	old, loaded := s.images.Swap(f.ID, im)
	if !loaded {
		s.count.Add(1)
		s.addName(f.Name, f.ID)
		return
	}
	was := old.(*Image)
	if was.File.Name != f.Name {
		s.dropName(was.File.Name, f.ID)
		s.addName(f.Name, f.ID)
	}
	was.close()
}

// Delete forgets the image.
func (s *Server) Delete(id string) {
	old, loaded := s.images.LoadAndDelete(id)
	if !loaded {
		return
	}
	s.count.Add(-1)
	im := old.(*Image)
	s.dropName(im.File.Name, id)
	im.close()
}

// Len is the number of images known.
func (s *Server) Len() int { return int(s.count.Load()) }

// Image finds an image by id, or returns [ErrNoImage].
func (s *Server) Image(id string) (*Image, error) {
	im, ok := s.images.Load(id)
	if !ok {
		return nil, ErrNoImage
	}
	return im.(*Image), nil
}

// ImageByName finds an image by the name of its file, in the store of that id or, if
// it is "", in all: [ErrNoImage] if there is none, [ErrAmbiguous] if there are several,
// as one of them would be another patient's. What lies in other stores changes nothing:
// whoever asks in a store of their own would learn of it.
func (s *Server) ImageByName(store, file string) (*Image, error) {
	s.nameMu.RLock()
	ids := s.names[file]
	s.nameMu.RUnlock()
	var found *Image
	for _, id := range ids {
		im, err := s.Image(id)
		switch {
		case err != nil || store != "" && store != im.File.Store.ID:
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

// Find finds the image that r asks for. ByFile reports that it was found by the
// name of its file, which only those may use who may see it.
func (s *Server) Find(r *Request) (im *Image, byFile bool, err error) {
	im, err = s.Image(r.Image)
	if err != nil && r.ByFile {
		im, err = s.ImageByName(r.Store, r.Image)
		byFile = true
	}
	if err != nil {
		return nil, byFile, err
	}
	if r.Store != "" && r.Store != im.File.Store.ID {
		return nil, byFile, ErrNoImage
	}
	return im, byFile, nil
}

// Subject is the file of im, or if that is nil, of some other image; nil if there is
// none. It is for asking who may see an image that does not exist just as one asks
// about those that do.
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

// Stats are figures for an operator.
type Stats struct {
	Images    int   // known
	OpenFiles int   // slides open now
	OpenBytes int64 // memory of their tables
	MaxFiles  int   // bound of OpenFiles
	MaxBytes  int64 // bound of OpenBytes
	Opened    int64 // slides opened since the start
	Evicted   int64 // of those, closed again to hold the bounds
	Sending   int64 // bytes of tiles that are being sent
}

// Stats returns figures as of now.
func (s *Server) Stats() Stats {
	st := s.cache.stats()
	st.Images, st.Sending = s.Len(), s.sending.Load()
	return st
}

// Close closes every open slide that no request is using.
func (s *Server) Close() {
	s.images.Range(func(_, v any) bool {
		v.(*Image).close()
		return true
	})
}

// addName and dropName keep the ids under which a file name is found.
func (s *Server) addName(name, id string) {
	if name == "" {
		return
	}
	s.nameMu.Lock()
	defer s.nameMu.Unlock()
	s.names[name] = append(s.names[name], id)
}

func (s *Server) dropName(name, id string) {
	s.nameMu.Lock()
	defer s.nameMu.Unlock()
	// Of a copy: ImageByName reads the old one without the lock.
	ids := slices.DeleteFunc(slices.Clone(s.names[name]), func(n string) bool { return n == id })
	if len(ids) == 0 {
		delete(s.names, name)
		return
	}
	s.names[name] = ids
}
