package source

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/tiff"
)

// maxImages bounds the images of a database.
const maxImages = 1 << 20

// An image is the document of an image.
type image struct {
	*slideatlas.Image
	sum [sha256.Size]byte // of the document
}

// decode decodes the document of an image.
func decode(doc bson.Raw) (image, error) {
	im, err := slideatlas.DecodeImage(doc)
	if err != nil {
		return image{}, err
	}
	return image{im, sha256.Sum256(doc)}, nil
}

// identity returns the identity of an image whose tiles have size bytes. The numbers
// identify the tiles. The mtime and the size are the same in a copy of the database, the
// inode may not be. The device and the ctime are zero.
func (im image) identity(size int64, tiles ...uint64) fsx.Identity {
	b := im.sum[:]
	for _, n := range tiles {
		b = binary.BigEndian.AppendUint64(b[:len(b):len(b)], n)
	}
	all := sha256.Sum256(b)
	return fsx.Identity{
		Ino:   max(binary.BigEndian.Uint64(all[:]), 1),
		Size:  size,
		MTime: int64(binary.BigEndian.Uint64(im.sum[:]) >> 1), //nolint:gosec // 63 bits
	}
}

// names returns what the document says about the image.
func (im image) names() *Names {
	name := im.Filename
	if name == "" {
		name = im.Label
	}
	if name == "" {
		name = string(im.ID)
	}
	return &Names{File: name, Label: im.Label, ExternalID: string(im.ID)}
}

// open returns the image as a slide with the given number of tiles.
func (im image) open(id fsx.Identity, tiles int64, read func([]byte, slideatlas.Tile) ([]byte, error), end func() error) (*Slide, error) {
	s := &Slide{Identity: id, Names: im.names(), close: end}
	var err error
	switch {
	case im.Unsupported != "":
		err = &tiff.UnsupportedError{Msg: im.Unsupported}
	case tiles == 0:
		err = &tiff.UnsupportedError{Msg: "The image has no tiles."}
	default:
		s.Slide, err = im.Slide(read)
	}
	if isSlideError(err) {
		s.Slide, s.Err = nil, err
		return s, nil
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Properties = im.properties()
	return s, nil
}

// properties returns the fields of the document that the slide has no place for.
func (im image) properties() map[string]string {
	p := map[string]string{}
	if im.Copyright != "" {
		p["slideatlas.copyright"] = im.Copyright
	}
	if !im.UploadedAt.IsZero() {
		p["slideatlas.uploaded_at"] = im.UploadedAt.UTC().Format(time.RFC3339)
	}
	// SlideAtlas treats images without a coordinate system like those of Photo. It is stated
	// because a packed image has this property and no document.
	p["slideatlas.CoordinateSystem"] = "Photo"
	if im.CoordinateSystem == "Pixel" {
		p["slideatlas.CoordinateSystem"] = "Pixel"
	}
	return p
}

// A nameFilter selects images by the names of their files. Without patterns to include it
// selects all.
type nameFilter struct{ include, exclude []string }

func newNameFilter(include, exclude []string) nameFilter {
	f := NewFilter(include, exclude)
	if len(include) == 0 {
		f.include = nil
	}
	return nameFilter(f)
}

func (f nameFilter) selects(im image) bool {
	file := strings.ToLower(im.names().File)
	name := path.Base(file)
	return (len(f.include) == 0 || matchAny(f.include, file, name)) && !matchAny(f.exclude, file, name)
}

// parsePath returns the id of the image at a path. The error is [fs.ErrNotExist] if no image
// has such a path.
func parsePath(path string) (slideatlas.ID, error) {
	id, ok := slideatlas.ParseID(path)
	if !ok || string(id) != path {
		return "", fs.ErrNotExist
	}
	return id, nil
}

// odd is the entry of a listing for a document that is not one of an image.
func odd(n int, err error) Unreadable {
	return Unreadable{Path: fmt.Sprintf("document %d", n), Err: err}
}

// newListing returns a listing of images, which are on no device.
func newListing() *Listing { return &Listing{devices: map[uint64]string{0: ""}} }

var (
	errNoImages   = errors.New(`it has no images: its collection "images" is empty or does not exist; check the name of the database`)
	errManyImages = fmt.Errorf("it has more than %d images", maxImages)
)
