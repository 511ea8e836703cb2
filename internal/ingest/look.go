package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// lookTime bounds one look. A local disk needs milliseconds, a busy file server
	// may need seconds.
	lookTime = 30 * time.Second
	// lookBytes bounds what one look reads: the tile tables of a level of a hundred
	// million tiles, or a few of the largest associated images.
	lookBytes = 2 << 30
)

// A Kind is what the structure of a file says of it, whatever its age.
type Kind int

const (
	Whole       Kind = iota // a slide, all of it there
	Wrong                   // not, or not yet: it breaks off, or is damaged
	Unsupported             // whole, and not a slide that is read here
	Unreadable              // nothing can be said: it could not be read
	Changing                // it was written to while it was looked at
	Gone                    // there is no such file
	Hindered                // nothing can be said, and that is not the file's doing but ours
)

// A Finding is what one look at a file gave.
type Finding struct {
	Kind     Kind
	Reason   string       // in words, no file name in them; "" if Whole
	Identity fsx.Identity // of the file that was looked at; zero if it could not be opened
	Slide    *slide.Slide // if Whole; its file is closed, so that it describes and reads no more
}

// Look opens the item of a source at path, reads its structure and the first
// and physically last tile of each level, and says whether it is a whole slide. It
// is bounded in time and in bytes read, and reads from a file as it would from a
// stranger: nothing in it makes Look panic or allocate more than it has read.
//
// A whole file may still have a writer: whether it is settled is not for one look
// to tell.
func Look(ctx context.Context, src source.Source, path string) Finding {
	f, err := src.Open(path)
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	before := f.Identity()
	found := examine(ctx, f, before.Size)
	found.Identity = before
	if found.Kind == Unreadable || found.Kind == Hindered {
		return found
	}
	after, err := f.Current()
	if err != nil {
		return unreadable(err)
	}
	if after != before {
		return Finding{Kind: Changing, Reason: "it was written to while it was looked at", Identity: after}
	}
	return found
}

// examine reads the structure of a file of size bytes.
func examine(ctx context.Context, f io.ReaderAt, size int64) Finding {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	m := &meter{ctx: ctx, r: f}
	m.left.Store(lookBytes)
	if found, ok := aPicture(m, size); ok {
		return found
	}
	s, err := slide.Open(m, size)
	if err == nil {
		err = s.Check()
	}
	var wrong *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	switch {
	case err == nil:
		return Finding{Slide: s}
	case errors.As(err, &unsupported):
		return Finding{Kind: Unsupported, Reason: plain(err)}
	case errors.As(err, &wrong), errors.Is(err, io.ErrUnexpectedEOF):
		return Finding{Kind: Wrong, Reason: plain(err)}
	}
	return unreadable(err)
}

// plain is an error of the tiff and slide packages without their names.
func plain(err error) string {
	return strings.NewReplacer("slide: ", "", "tiff: ", "").Replace(err.Error())
}

// unreadable says what to do about a file that could not be read. It may be shown
// to anybody, so it leaves out the path.
func unreadable(err error) Finding {
	var words string
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fsx.ErrNotRegular):
		return Finding{Kind: Gone, Reason: "there is no such file"}
	case errors.Is(err, fs.ErrPermission):
		words = fmt.Sprintf("permission denied: make the file and its folders readable for user %d", os.Geteuid())
	case errors.Is(err, errCostly):
		return Finding{Kind: Wrong, Reason: errCostly.Error()}
	case errors.Is(err, context.Canceled):
		return Finding{Kind: Hindered, Reason: "the look was cancelled"}
	case errors.Is(err, context.DeadlineExceeded):
		words = fmt.Sprintf("reading it took more than %v: is its storage slow or away?", lookTime)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return Finding{Kind: Hindered, Reason: "too many files are open here: raise the limit (ulimit -n, LimitNOFILE=)"}
	case errors.Is(err, syscall.EIO):
		words = "its storage reports a read error: check the disk"
	default:
		words = "it could not be read: " + fsx.WithoutPath(err).Error()
	}
	return Finding{Kind: Unreadable, Reason: words}
}

var errCostly = fmt.Errorf("more than %d MB would have to be read to tell whether it is whole", lookBytes>>20)

// A meter reads what a look may cost, and no more.
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
