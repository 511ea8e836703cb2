package synth

import (
	"bufio"
	"io"
	"os"
)

// A levelOut writes the tiles of a level one after the other and remembers where.
type levelOut struct {
	f       *os.File // temporary; nil for the level that is written straight into the slide
	w       io.Writer
	offsets []int64 // from the beginning of what is written; 0 and a count of 0 for a tile left out
	counts  []int64
	pos     int64
	sparse  int
}

// newSpool returns a levelOut that writes into a temporary file in a folder.
func newSpool(dir string) (*levelOut, error) {
	f, err := os.CreateTemp(dir, ".synth-*.partial")
	if err != nil {
		return nil, err
	}
	return &levelOut{f: f, w: bufio.NewWriterSize(f, 1<<18)}, nil
}

// add writes a tile; nil is one left out.
func (l *levelOut) add(b []byte) error {
	l.counts = append(l.counts, int64(len(b)))
	if len(b) == 0 {
		l.offsets = append(l.offsets, 0)
		l.sparse++
		return nil
	}
	l.offsets = append(l.offsets, l.pos)
	l.pos += int64(len(b))
	_, err := l.w.Write(b)
	return err
}

// moveTo appends what a spool holds to a file.
func (l *levelOut) moveTo(c *container) error {
	base := c.pos
	if err := l.w.(*bufio.Writer).Flush(); err != nil {
		return err
	}
	if err := c.copyFrom(l.f); err != nil {
		return err
	}
	l.rebase(base)
	return l.discard()
}

// rebase moves all tiles that are there.
func (l *levelOut) rebase(base int64) {
	for i, n := range l.counts {
		if n > 0 {
			l.offsets[i] += base
		}
	}
}

// discard removes a spool.
func (l *levelOut) discard() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	f.Close()
	return os.Remove(f.Name())
}
