package tile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// TestExplain checks the status and text of every error, wrapped as packages do, and
// whether it has a Retry-After. The text must not contain the error itself.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		want   string // in the words
		again  bool
	}{
		{tile.ErrNoImage, 404, "no such image", false},
		{tile.ErrAmbiguous, 409, "by its id", false},
		{slide.ErrNoTile, 404, "no such tile", false},
		{slide.ErrNoAssociated, 404, "no such associated image", false},
		{tile.ErrOldRevision, 404, "not its current revision", false},
		{tile.ErrChanged, 503, "just changed", true},
		{tile.ErrUnreachable, 503, "cannot be read at present", true},
		{tile.ErrBusy, 503, "Try again", true},
		{context.DeadlineExceeded, 503, "took too long", true},
		{tile.ErrUnreadable, 502, "damaged, or stored in a way that is not supported", false},
		{fmt.Errorf("%w: %w", tile.ErrUnreadable, &tiff.UnsupportedError{Msg: "secret"}), 502, "not supported", false},
		{errors.New("secret"), 500, "in its log", false},
	} {
		p := tile.Explain(fmt.Errorf("secret/path.tiff: %w", tt.err))
		if p.Status != tt.status || !strings.Contains(p.Detail, tt.want) || strings.Contains(p.Detail, "secret") || (p.RetryAfter > 0) != tt.again {
			t.Errorf("Explain(%v) = %+v, want status %d, %q, to be tried again: %v", tt.err, p, tt.status, tt.want, tt.again)
		}
	}
}

// TestRenderErrors lets rendering fail. Every error without another known cause is
// attributed to the file, and the reason is kept for the log.
func TestRenderErrors(t *testing.T) {
	unsupported := errors.New("unsupported")
	for _, tt := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("%w: JPEG of 200 scans", unsupported), 502},
		{&tiff.FormatError{Offset: 9, Msg: "cut"}, 502},
		{&tiff.UnsupportedError{Offset: 9, Msg: "odd"}, 502},
		{tile.ErrBusy, 503},
		{context.DeadlineExceeded, 503},
	} {
		s, ids := serve(t, tile.Options{Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, tt.err }}, 1)
		im, err := s.Image(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		a, err := im.Tile(t.Context(), &tile.Address{Kind: tile.DeepZoom, Z: 0}, "")
		if !errors.Is(err, tt.err) || tile.Explain(err).Status != tt.status || a.Body != nil {
			t.Errorf("rendering fails with %v: %d bytes, %v, status %d; want %d and the reason", tt.err, len(a.Body), err, tile.Explain(err).Status, tt.status)
		}
	}
}
