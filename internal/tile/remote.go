package tile

import (
	"context"
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/runcache"
	"github.com/slideatlas/ptiffstore/slide"
)

// readThroughRuns makes all who read tiles of the slide, which is far away, read them in runs.
func (h *handle) readThroughRuns() {
	h.remote = &runcache.Slide{ID: h.image.File.ID, Revision: h.image.File.Revision, Slide: h.slide, Read: h.opened.ReadRange}
	h.slide.ReadExtents(func(level, col, row int, _ slide.Extent) ([]byte, error) {
		// Who renders a tile does not say for whom. The read has a time limit of its own.
		return h.raw(context.Background(), level, col, row)
	})
}

// raw returns the stored bytes of a tile that is far away.
func (h *handle) raw(ctx context.Context, level, col, row int) ([]byte, error) {
	b, err := h.image.srv.runs.Tile(ctx, h.remote, level, col, row)
	switch {
	case errors.Is(err, runcache.ErrBusy):
		return nil, ErrBusy
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return b, err
}

// appendRemote reads a stored tile of a slide that is far away, unless it is in a run that was
// read. The read is cancelled when no request waits for it.
func (h *handle) appendRemote(ctx context.Context, dst []byte, level, col, row int) ([]byte, error) {
	source := &h.image.store.source
	if !source.begin() {
		return dst, errNoAnswer
	}
	raw, err := h.raw(ctx, level, col, row)
	err = h.explain(err)
	source.end(err)
	switch {
	case errors.Is(err, slide.ErrNoExtent): // its colours are stored apart
		b, err := h.slide.AppendTile(dst, level, col, row)
		return b, h.explain(err)
	case err != nil:
		return dst, err
	}
	return h.slide.Finish(dst, raw, level, col, row)
}
