package synth

import (
	"bufio"
	"io"
	"os"
)

// A levelOut writes the tiles of a level in order and records their offsets.
type levelOut struct {
	f       *os.File // temporary; nil for the level that is written directly to the slide
	w       io.Writer
	offsets []int64 // from the start of the output; 0 with a count of 0 for an omitted tile
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

// add writes a tile; nil is an omitted one.
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

// moveTo appends the contents of a spool to a file.
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

// rebase shifts the offsets of all tiles that are not omitted.
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
