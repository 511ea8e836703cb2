package tile

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

const (
	// moveTime is how long requests wait for the new path of a file. The catalog is updated
	// right after a rename, and other processes see that within a second.
	moveTime = 5 * time.Second
	// movePause is how long nothing waits for the same file again after it waited in vain:
	// then the file was not moved but written to, or is lost.
	movePause = time.Minute
)

// A move is a file that requests wait for: it is no longer as it was opened, possibly only
// because it was renamed. A rename changes the ctime, as any write does, so nothing that
// was read is answered before the catalog has confirmed the file as it is now.
type move struct {
	until    time.Time
	replaced chan struct{} // closed when the image is put again or deleted
}

// successor returns the image to answer a request with that failed because of err, or nil
// if err stays. If the store's files move, it waits until the catalog has recorded the move.
func (im *Image) successor(ctx context.Context, err error) *Image {
	if !errors.Is(err, ErrChanged) && !im.mayHaveMoved(err) {
		return nil
	}
	if next, known := im.next(); !known || next != nil {
		return next
	}
	if !im.mayHaveMoved(err) {
		return nil
	}
	m := im.wait()
	timer := time.NewTimer(time.Until(m.until))
	defer timer.Stop()
	if next, known := im.next(); !known || next != nil { // put again before the wait was known
		return next
	}
	select {
	case <-m.replaced:
		next, _ := im.next()
		return next
	case <-timer.C:
		im.srv.changed(im.File.ID)
	case <-ctx.Done():
	}
	return nil
}

// next returns the image that has taken the place of im with the same contents, or
// nil. Known reports whether an image with its id exists.
func (im *Image) next() (next *Image, known bool) {
	cur, err := im.srv.Image(im.File.ID)
	if err != nil {
		return nil, false
	}
	if cur == im || cur.File.Revision != im.File.Revision || cur.File.Store.ID != im.File.Store.ID {
		return nil, true
	}
	return cur, true
}

// wait returns what to wait for. Its time may be over.
func (im *Image) wait() *move {
	for {
		now, old := time.Now(), im.move.Load()
		if old != nil && now.Before(old.until.Add(movePause)) {
			return old
		}
		m := &move{until: now.Add(im.srv.moveTime), replaced: make(chan struct{})}
		if im.move.CompareAndSwap(old, m) {
			return m
		}
	}
}

// replaced ends the wait for im, which is no longer in the server.
func (im *Image) replaced() {
	if m := im.move.Load(); m != nil {
		close(m.replaced)
	}
}

// mayHaveMoved reports whether err can be the consequence of a rename by this program.
func (im *Image) mayHaveMoved(err error) bool {
	return im.File.Store.Moves && (errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist))
}

// changed reports that the file is no longer the one in the catalog, unless requests wait
// for its move: then [Image.successor] reports it if they waited in vain.
func (im *Image) changed(err error) {
	if !im.mayHaveMoved(err) {
		im.srv.changed(im.File.ID)
	}
}

func (s *Server) changed(id string) {
	if s.o.Changed != nil {
		s.o.Changed(id)
	}
}
