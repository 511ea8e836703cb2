// Package inspect decides the state of one file: it reads its structure to tell complete
// slides from arriving, broken and unsupported ones, and derives from how long the file
// has been unchanged whether its writer is done.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/structure"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// inspectTime bounds one inspection. A local disk needs milliseconds, a busy file server
	// may need seconds.
	inspectTime = 30 * time.Second
	// inspectBytes bounds what one inspection reads: the tile tables of a level of a hundred
	// million tiles, or a few of the largest associated images.
	inspectBytes = 2 << 30
)

// A Kind is what the structure of a file shows, whatever its age.
type Kind int

const (
	Complete    Kind = iota // a complete slide
	Damaged                 // incomplete or damaged
	Unsupported             // complete, and not a supported slide
	Unreadable              // it could not be read
	Changing                // it was written to during the inspection
	Gone                    // the file does not exist
	Skipped                 // not inspected for lack of resources, which is not the file's fault
)

// An Inspection is the result of inspecting a file.
type Inspection struct {
	Kind     Kind
	Reason   string       // in words, no file name in them; "" if Whole
	Identity fsx.Identity // of the file that was inspected; zero if it could not be opened
	// Slide is set if Complete, or if this build cannot decode the tiles of a slide that is
	// complete. Its file is closed, so it can be described but not read.
	Slide *slide.Slide
	// Profile is the colour profile; nil if it was not read.
	Profile *catalog.ColorProfile
	// Sent means that the file is as its sender sent it: no further bytes of it arrive.
	Sent bool
	// Names are what the document of an image says about it; nil for files.
	Names *source.Names
	// FileName is the name of a series of files; "" for other items.
	FileName string
	DICOM    *catalog.DICOM // of a series; nil for other items
	// Structure is the structure record of a slide in a bucket, without revision; nil for other items.
	Structure *catalog.Structure
}

// File opens the item of a source at path, reads its structure and the first and the
// physically last tile of each level, and reports whether it is a complete slide. Time
// and bytes read are bounded. The file is untrusted: nothing in it makes File panic
// or allocate more than it has read.
//
// A complete file may still have a writer: one inspection cannot tell whether it is
// settled.
//
// An item that is not a file is inspected likewise: see [source.Source].
func File(ctx context.Context, src source.Source, path string) Inspection {
	files, ok := src.(source.Files)
	switch {
	case !ok:
		return item(ctx, src, path)
	case catalog.IsSeries(path):
		return series(ctx, src, path)
	}
	f, err := files.Open(path)
	if err != nil {
		return ReadError(err)
	}
	defer f.Close()
	before := f.Identity()
	found := examine(ctx, f, before.Size)
	found.Identity = before
	if _, local := src.(*source.Directory); !local {
		found.asObject()
	}
	if found.Kind == Unreadable || found.Kind == Skipped {
		return found
	}
	after, err := f.Current()
	if err != nil {
		return ReadError(err)
	}
	if after != before {
		return Inspection{Kind: Changing, Reason: "the file changed while it was inspected", Identity: after}
	}
	return found
}

// asObject corrects the inspection of an object of a bucket: what its server does not answer says
// nothing about it, and DICOM is only read from folders.
func (f *Inspection) asObject() {
	switch {
	case f.Kind == Unreadable:
		f.Kind = Skipped
	case f.Slide != nil && f.Slide.Format == "dicom":
		*f = Inspection{Kind: Unsupported, Identity: f.Identity, Reason: "DICOM objects in a bucket are not read yet: copy the series to a folder"}
	}
}

// colorProfile describes the colour profile of a slide; nil if it cannot be read at present.
func colorProfile(s *slide.Slide) *catalog.ColorProfile {
	p, err := profile.Read(s)
	switch {
	case err != nil:
		return nil
	case p == nil:
		return &catalog.ColorProfile{None: true}
	}
	return &catalog.ColorProfile{
		Name: p.Name, Class: p.Class, Space: p.Space, Version: p.Version, Size: p.Size, SRGB: p.SRGB, Usable: p.Usable, Reason: p.Reason, InTiles: p.InTiles,
	}
}

// item inspects an item that is not a file: it reads its smallest tiles. The time of writing
// the index of a dump, which reads all of it, is not limited.
func item(ctx context.Context, src source.Source, path string) Inspection {
	s, err := src.Slide(ctx, path)
	if err != nil {
		return itemError(err)
	}
	defer s.Close()
	found := Inspection{Identity: s.Identity, Names: s.Names, Slide: s.Slide}
	if err = s.Err; err == nil {
		err = s.Check()
	}
	if err == nil {
		found.Profile = colorProfile(s.Slide)
		return found
	}
	found.Slide = nil
	if unsupported, ok := errors.AsType[*tiff.UnsupportedError](err); ok {
		found.Kind, found.Reason = Unsupported, sentence(unsupported.Msg)
	} else if wrong, ok := errors.AsType[*tiff.FormatError](err); ok {
		found.Kind, found.Reason = Damaged, wrong.Msg
	} else if errors.Is(err, source.ErrNotJPEG) {
		found.Kind, found.Reason = Damaged, plain(err)
	} else {
		return itemError(err)
	}
	return found
}

// series inspects the DICOM series in a folder.
func series(ctx context.Context, src source.Source, path string) Inspection {
	s, err := src.Slide(ctx, path)
	if errors.Is(err, source.ErrChanged) {
		return changing(src, path)
	}
	if err != nil {
		return ReadError(err)
	}
	defer s.Close()
	found := Inspection{Identity: s.Identity, FileName: s.Names.File, DICOM: s.DICOM}
	if err = s.Err; err == nil {
		err = s.Check()
	}
	if now := s.Current(); errors.Is(now, source.ErrChanged) {
		return changing(src, path)
	}
	found.conclude(s.Slide, err)
	if found.Kind == Unreadable || found.Kind == Skipped || found.Kind == Gone {
		found.Identity = s.Identity
	}
	return found
}

// changing is a series that changed during its inspection.
func changing(src source.Source, path string) Inspection {
	id, err := src.Identify(path)
	if err != nil {
		return ReadError(err)
	}
	return Inspection{Kind: Changing, Reason: "the files changed while they were inspected", Identity: id}
}

// sentence returns a sentence as a clause, as all reasons are.
func sentence(s string) string {
	s = strings.TrimSuffix(s, ".")
	if r, n := utf8.DecodeRuneInString(s); n > 0 {
		s = string(unicode.ToLower(r)) + s[n:]
	}
	return s
}

// itemError describes an item that could not be read. That its server does not answer, or a
// disk is full, is not its fault.
func itemError(err error) Inspection {
	switch {
	case fsx.IsGone(err):
		return Inspection{Kind: Gone, Reason: "the image does not exist"}
	case errors.Is(err, source.ErrChanged):
		return Inspection{Kind: Skipped, Reason: "the image changed while it was inspected"}
	case errors.Is(err, context.Canceled), errors.Is(err, source.ErrIndexing):
		return Inspection{Kind: Skipped, Reason: "the inspection was cancelled"}
	}
	return Inspection{Kind: Skipped, Reason: fsx.WithoutPath(err).Error()}
}

// examine reads the structure of a file of size bytes.
func examine(ctx context.Context, f io.ReaderAt, size int64) Inspection {
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	m := &meter{ctx: ctx, r: f}
	m.left.Store(inspectBytes)
	if found, ok := inspectFlat(m, size); ok {
		return found
	}
	s, err := slide.Open(m, size)
	if err == nil {
		err = s.Check()
	}
	if err != nil && isDICOM(m) {
		s, err = dicom.Open([]dicom.Part{{R: m, Size: size}})
		if err == nil {
			err = s.Check()
		}
	}
	var found Inspection
	found.conclude(s, err)
	if remote, ok := f.(interface{ Token() []byte }); ok && found.Kind == Complete && found.Slide != nil {
		// Without it the slide is opened by reading the object.
		found.Structure, _ = structure.Of(found.Slide, remote.Token())
	}
	return found
}

// isDICOM reports whether a file is DICOM. One that is a TIFF, too, is opened as a TIFF.
func isDICOM(r io.ReaderAt) bool {
	head := make([]byte, 132)
	n, _ := r.ReadAt(head, 0)
	return dicom.IsDICOM(head[:n])
}

// conclude sets the result for a slide that was checked, with the error of opening or checking
// it.
func (f *Inspection) conclude(s *slide.Slide, err error) {
	var wrong *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	switch {
	case err == nil && !ReadsJPEG2000() && slices.ContainsFunc(s.Levels, func(l slide.Level) bool { return l.Layout.Codec == slide.JPEG2000 }):
		f.Kind, f.Reason, f.Slide = Unsupported, noJPEG2000, s
	case err == nil:
		f.Slide, f.Profile = s, colorProfile(s)
	case errors.As(err, &unsupported):
		f.Kind, f.Reason = Unsupported, plain(err)
	case errors.As(err, &wrong), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, dicom.ErrTruncated), errors.Is(err, dicom.ErrNotDICOM):
		f.Kind, f.Reason = Damaged, plain(err)
	default:
		failed := ReadError(err)
		f.Kind, f.Reason = failed.Kind, failed.Reason
	}
}

// ReadsJPEG2000 reports whether this build decodes JPEG 2000. If so, images that are
// unsupported for [catalog.NotJPEG2000] are to be inspected again.
func ReadsJPEG2000() bool { return jpeg2000.Available() }

// noJPEG2000 is why a slide of JPEG 2000 is unsupported.
const noJPEG2000 = "the compression of its tiles " + catalog.NotJPEG2000 + " is not read by this build of ptiffstore; use a build with native codecs"

// plain is an error of the tiff and slide packages without the package name.
func plain(err error) string {
	return strings.NewReplacer("slide: ", "", "tiff: ", "").Replace(err.Error())
}

// ReadError describes a file that could not be read, and what to do. It may be shown to
// every user, so it leaves out the path.
func ReadError(err error) Inspection {
	var words string
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fsx.ErrNotRegular):
		return Inspection{Kind: Gone, Reason: "the file does not exist"}
	case errors.Is(err, source.ErrUnavailable):
		return Inspection{Kind: Skipped, Reason: fsx.WithoutPath(err).Error()}
	case errors.Is(err, source.ErrChanged):
		return Inspection{Kind: Changing, Reason: "the file changed while it was inspected"}
	case errors.Is(err, fs.ErrPermission):
		words = fmt.Sprintf("permission denied: make the file and its folders readable for user %d", os.Geteuid())
	case errors.Is(err, errCostly):
		return Inspection{Kind: Damaged, Reason: errCostly.Error()}
	case errors.Is(err, context.Canceled):
		return Inspection{Kind: Skipped, Reason: "the inspection was cancelled"}
	case errors.Is(err, context.DeadlineExceeded):
		words = fmt.Sprintf("reading it took more than %v: check whether its storage is slow or unreachable", inspectTime)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return Inspection{Kind: Skipped, Reason: "too many open files: raise the limit (ulimit -n, LimitNOFILE=)"}
	case errors.Is(err, syscall.EIO):
		words = "the disk reports a read error: check the disk"
	default:
		words = "the file cannot be read: " + fsx.WithoutPath(err).Error()
	}
	return Inspection{Kind: Unreadable, Reason: words}
}

var errCostly = fmt.Errorf("more than %d MB would have to be read to tell whether the file is complete", inspectBytes>>20)

// A meter limits how much an inspection reads.
type meter struct {
	ctx  context.Context
	r    io.ReaderAt
	left atomic.Int64
}

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	if m.left.Add(-int64(len(p))) < 0 {
		return 0, errCostly
	}
	return m.r.ReadAt(p, off)
}
