package dicom

import (
	"fmt"
	"image"
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/slide"
)

// A matrix is the frames of a level or an associated image as [slide.Tiles]: those of one
// instance, or of several that are a concatenation.
type matrix struct {
	columns, rows         int // of frames
	tileWidth, tileHeight int // pixels
	files                 []*frameFile
	before                []int // frames before those of each file
	sparse                bool  // frames have positions; otherwise row after row

	mu     sync.Mutex // held while the positions are read
	places atomic.Pointer[[]uint32]
}

// find returns the file and the number of the frame at a place.
func (m *matrix) find(col, row int) (*frameFile, int, error) {
	n := row*m.columns + col
	if m.sparse {
		places, err := m.load()
		if err != nil {
			return nil, 0, err
		}
		if n = int(places[n]) - 1; n < 0 {
			return nil, 0, slide.ErrEmptyTile
		}
	}
	k := len(m.files) - 1
	for m.before[k] > n {
		k--
	}
	return m.files[k], n - m.before[k], nil
}

// AppendTile implements [slide.Tiles].
func (m *matrix) AppendTile(dst []byte, col, row int) ([]byte, int64, error) {
	f, n, err := m.find(col, row)
	if err != nil {
		return dst, 0, err
	}
	return f.appendFrame(dst, n)
}

// TileBytes implements [slide.Tiles].
func (m *matrix) TileBytes(col, row int) int64 {
	f, n, err := m.find(col, row)
	if err != nil {
		return 0
	}
	return f.frameBytes(n)
}

// Ends implements [slide.Tiles].
func (m *matrix) Ends() ([]image.Point, error) {
	type end struct {
		at    image.Point
		frame int
	}
	first, last := make([]end, len(m.files)), make([]end, len(m.files))
	for row := range m.rows {
		for col := range m.columns {
			f, n, err := m.find(col, row)
			if err == nil && f.raw == 0 {
				_, err = f.load()
			}
			if err == slide.ErrEmptyTile { //nolint:errorlint // not wrapped, and compared for each tile
				continue
			}
			if err != nil {
				return nil, err
			}
			if f.frameBytes(n) == 0 {
				continue
			}
			k := m.fileOf(f)
			here := end{image.Pt(col, row), n + 1}
			if first[k].frame == 0 || n+1 < first[k].frame {
				first[k] = here
			}
			if n+1 > last[k].frame {
				last[k] = here
			}
		}
	}
	var ends []image.Point
	for k := range m.files {
		if first[k].frame > 0 {
			ends = append(ends, first[k].at)
		}
		if last[k].frame > first[k].frame {
			ends = append(ends, last[k].at)
		}
	}
	return ends, nil
}

func (m *matrix) fileOf(f *frameFile) int {
	for k := range m.files {
		if m.files[k] == f {
			return k
		}
	}
	return 0
}

// Memory implements [slide.Tiles].
func (m *matrix) Memory() int64 {
	n := int64(0)
	for _, f := range m.files {
		n += f.memory()
	}
	if p := m.places.Load(); p != nil {
		n += 4 * int64(len(*p))
	}
	return n
}

// load reads the positions of sparse frames once, also for concurrent callers: the number of
// the frame at each place, counted from 1, or 0.
func (m *matrix) load() ([]uint32, error) {
	if p := m.places.Load(); p != nil {
		return *p, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.places.Load(); p != nil {
		return *p, nil
	}
	places := make([]uint32, m.columns*m.rows)
	var like Position
	for k, f := range m.files {
		n := 0
		for p, err := range f.file.Positions(f.r, f.size) {
			if err != nil {
				return nil, err
			}
			if n == f.frames {
				return nil, f.misplaced("it has positions of more than its %d frames", f.frames)
			}
			if k == 0 && n == 0 {
				like = p
			}
			if err := m.place(places, f, &p, &like, m.before[k]+n+1); err != nil {
				return nil, err
			}
			n++
		}
		if n < f.frames {
			return nil, f.misplaced("it has positions of %d of its %d frames", n, f.frames)
		}
	}
	m.places.Store(&places)
	return places, nil
}

// place enters a frame of the given number.
func (m *matrix) place(places []uint32, f *frameFile, p, like *Position, number int) error {
	switch {
	case p.Z != like.Z:
		return severalPlanes()
	case p.OpticalPath != like.OpticalPath:
		return severalPaths()
	}
	col, row := (p.Column-1)/int64(m.tileWidth), (p.Row-1)/int64(m.tileHeight)
	if p.Column < 1 || p.Row < 1 || (p.Column-1)%int64(m.tileWidth) != 0 || (p.Row-1)%int64(m.tileHeight) != 0 {
		return &UnsupportedError{Offset: f.file.PerFrame.Offset, Tag: PerFrameFunctionalGroupsSequence, Msg: fmt.Sprintf(
			"frames that are not on a grid are not supported: frame %d is at column %d and row %d of the pixels", number, p.Column, p.Row)}
	}
	if col >= int64(m.columns) || row >= int64(m.rows) {
		return f.misplaced("frame %d is at column %d and row %d of the pixels, outside of the image", number, p.Column, p.Row)
	}
	at := &places[int(row)*m.columns+int(col)]
	if *at != 0 {
		return f.misplaced("frames %d and %d are at the same place", *at, number)
	}
	*at = uint32(number)
	return nil
}

// misplaced is the error for wrong positions of frames.
func (f *frameFile) misplaced(format string, args ...any) error {
	return &FormatError{Offset: f.file.PerFrame.Offset, Tag: PerFrameFunctionalGroupsSequence, Msg: "the file is damaged: " + fmt.Sprintf(format, args...)}
}

func severalPlanes() error {
	return &UnsupportedError{Tag: TotalPixelMatrixFocalPlanes, Msg: "slides with several focal planes are not supported"}
}

func severalPaths() error {
	return &UnsupportedError{Tag: NumberOfOpticalPaths, Msg: "slides with several optical paths are not supported"}
}
