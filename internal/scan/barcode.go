package scan

import (
	"context"
	"errors"
	"time"

	"github.com/slideatlas/ptiffstore/internal/barcode"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// labelTime bounds the search for a code on one label.
	labelTime = 10 * time.Second
	// searchMemory is the memory of a search in bytes, without the label itself: at most
	// four million pixels in gray, in black and white, and in other sizes.
	searchMemory = 48 << 20
	// labelQueue is how many images may wait for their labels to be read. Further ones
	// are found when their store's watcher is next started.
	labelQueue = 1 << 16
)

// Labels reads barcodes from the label images of slides whose files don't contain them.
// It reads one label at a time, so that it does not slow down tile requests.
type Labels struct {
	s     *Syncer
	queue chan string // image ids
}

// NewLabels returns a reader of labels with an empty queue.
func NewLabels(s *Syncer) *Labels { return &Labels{s, make(chan string, labelQueue)} }

// Add queues an image. It never blocks. An image whose label need not be read costs one
// query.
func (l *Labels) Add(image string) {
	select {
	case l.queue <- image:
	default:
	}
}

// AddStore queues those images of a store whose labels have not been read.
func (l *Labels) AddStore(ctx context.Context, store string) error {
	return l.s.Catalog.Images.Each(ctx, store, func(im *catalog.Image) error {
		if NeedsLabelRead(im) {
			l.Add(im.ID)
		}
		return ctx.Err()
	})
}

// addStore calls AddStore until it succeeds or ctx is done.
func (l *Labels) addStore(ctx context.Context, store string) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	l.s.Loops.New(l.s.log(), "labels of a store", store).Run(ctx, func(ctx context.Context) error {
		err := l.AddStore(ctx, store)
		if err == nil || errors.Is(err, catalog.ErrNotFound) {
			done()
		}
		return err
	})
}

// NeedsLabelRead reports whether an image has a label that may say its barcode.
func NeedsLabelRead(im *catalog.Image) bool {
	if im.State != catalog.Available || im.Barcode != nil || im.BarcodeSource == inspect.FromLabel {
		return false
	}
	for _, a := range im.Associated {
		if a == "label" {
			return true
		}
	}
	return false
}

// Run works through the queue until ctx is done.
func (l *Labels) Run(ctx context.Context) { l.s.Loops.Run(ctx, l.s.log(), "labels", l.next) }

// next reads the next label of the queue. An unreadable label does not stop the others;
// an image is queued again if the catalog was unreachable.
func (l *Labels) next(ctx context.Context) error {
	var id string
	select {
	case <-ctx.Done():
		return nil
	case id = <-l.queue:
	}
	err := l.Read(ctx, id)
	if errors.Is(err, catalog.ErrAway) || errors.Is(err, catalog.ErrFull) {
		l.Add(id)
		return err
	}
	if err != nil && ctx.Err() == nil {
		l.s.log().Warn("cannot read label", "image", id, "err", err)
	}
	return nil
}

// Read reads the label of an image now and records its barcode, or that it has none.
func (l *Labels) Read(ctx context.Context, id string) error {
	im, err := l.s.Catalog.Images.Get(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && !NeedsLabelRead(im) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := l.s.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return err
	}
	work, end := l.s.Memory.Begin(ctx, 0)
	text, err := l.s.readLabel(work, st, im)
	end()
	switch {
	case errors.Is(err, render.ErrBusy), errors.Is(err, source.ErrUnavailable):
		return err // retried later
	case errors.Is(err, errReplaced):
		return nil // queued again after its next inspection
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && !errors.Is(err, barcode.ErrNotFound):
		l.s.log().Info("label is not readable", "image", id, "err", fsx.WithoutPath(err))
	}
	return l.record(ctx, im, text)
}

// record records the barcode, unless the file has changed since.
func (l *Labels) record(ctx context.Context, old *catalog.Image, text string) error {
	_, err := l.s.Catalog.Images.Update(ctx, old.ID, func(im *catalog.Image) error {
		if im.Revision != old.Revision || !NeedsLabelRead(im) {
			return errUnchanged
		}
		im.BarcodeSource = inspect.FromLabel
		if text != "" {
			im.Barcode = &text
		}
		return nil
	})
	if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// errUnchanged ends an update that changes nothing.
var errUnchanged = errors.New("nothing to change")

var errReplaced = errors.New("the file is not the one that was inspected")

// readLabel returns the text of the code on the label of an image.
func (s *Syncer) readLabel(ctx context.Context, st *catalog.Store, im *catalog.Image) (string, error) {
	if st.Kind != catalog.Directory {
		return s.readObjectLabel(ctx, st, im)
	}
	if catalog.IsSeries(im.Path) {
		return readSeriesLabel(ctx, st, im)
	}
	at, err := managed.EntryOf(st, im.Path)
	if err != nil {
		return "", errReplaced
	}
	defer at.Close()
	f, err := at.Open()
	if err != nil {
		return "", errReplaced
	}
	defer f.Close()
	if id, err := fsx.IdentifyFile(f); err != nil || !id.Same(im.Identity) {
		return "", errReplaced
	}
	sl, err := slide.Open(f, im.Identity.Size)
	if err != nil {
		return "", err
	}
	pic, err := render.ReadAssociated(ctx, sl, "label")
	if err != nil {
		return "", err
	}
	if id, err := fsx.IdentifyFile(f); err != nil || !id.Same(im.Identity) {
		return "", errReplaced
	}
	return readCode(ctx, pic)
}

// readSeriesLabel is readLabel for a series of files.
func readSeriesLabel(ctx context.Context, st *catalog.Store, im *catalog.Image) (string, error) {
	dir, err := source.OpenStore(st, im.Path)
	if err != nil {
		return "", errReplaced
	}
	defer dir.Close()
	return labelOf(ctx, dir, im)
}

// readObjectLabel is readLabel for an image that is not in a folder.
func (s *Syncer) readObjectLabel(ctx context.Context, st *catalog.Store, im *catalog.Image) (string, error) {
	src, err := s.sources().Open(st)
	if err != nil {
		return "", err
	}
	defer src.Close()
	return labelOf(ctx, src, im)
}

// labelOf returns the text of the code on the label of an image of a source.
func labelOf(ctx context.Context, src source.Source, im *catalog.Image) (string, error) {
	s, err := src.Slide(ctx, im.Path)
	if errors.Is(err, source.ErrUnavailable) {
		return "", err
	}
	if err != nil || !s.Identity.Same(im.Identity) || s.Err != nil {
		if err == nil {
			s.Close()
		}
		return "", errReplaced
	}
	defer s.Close()
	pic, err := render.ReadAssociated(ctx, s.Slide, "label")
	if s.Current() != nil {
		return "", errReplaced
	}
	if err != nil {
		return "", err
	}
	return readCode(ctx, pic)
}

// readCode returns the text of the code on a label.
func readCode(ctx context.Context, pic *slide.AssociatedImage) (string, error) {
	img, err := render.DecodeAssociated(ctx, pic)
	if err != nil {
		return "", err
	}
	if err := render.Take(ctx, searchMemory); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, labelTime)
	defer cancel()
	text, _, err := barcode.Read(ctx, img)
	return text, err
}
