package scan

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/barcode"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// labelled returns a white image with a code, or without one if text is "".
func labelled(t *testing.T, text string) image.Image {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 400, 400))
	draw.Draw(img, img.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	if text == "" {
		return img
	}
	code, err := barcode.Draw(barcode.DataMatrix, text, 8)
	if err != nil {
		t.Fatal(err)
	}
	draw.Draw(img, code.Bounds().Add(image.Pt(60, 80)), code, code.Bounds().Min, draw.Src)
	return img
}

func TestLabels(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.write("code.tiff", slidetest.Pyramid{Label: labelled(t, "S26-1234")}.Bytes())
	st.write("blank.tiff", slidetest.Pyramid{Label: labelled(t, "")}.Bytes())
	st.write("none.tiff", slidetest.Pyramid{}.Bytes())
	st.later(time.Minute)
	labels := NewLabels(st.Syncer)
	st.Available = labels.Add
	st.scan(Options{})
	st.readLabels(labels)
	for _, tt := range []struct{ name, barcode, source string }{
		{"code.tiff", "S26-1234", inspect.FromLabel}, {"blank.tiff", "", inspect.FromLabel}, {"none.tiff", "", ""},
	} {
		im, got := st.image(tt.name), ""
		if im.Barcode != nil {
			got = *im.Barcode
		}
		if got != tt.barcode || im.BarcodeSource != tt.source || im.State != catalog.Available {
			t.Errorf("%s: %s, barcode %q from %q, want %q from %q", tt.name, im.State, got, im.BarcodeSource, tt.barcode, tt.source)
		}
	}
	seq := st.image("blank.tiff").Seq
	labels.AddStore(t.Context(), st.store)
	if n := len(labels.queue); n != 0 {
		t.Errorf("%d labels to be read once more, want none", n)
	}
	if st.image("blank.tiff").Seq != seq {
		t.Error("an image changed though its label was read before")
	}
}

// TestLabelOfAnother replaces a slide before its label is read. The old barcode must
// not be recorded for the new slide, and the new label is read.
func TestLabelOfAnother(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.write("a.tiff", slidetest.Pyramid{Label: labelled(t, "OLD")}.Bytes())
	st.later(time.Minute)
	labels := NewLabels(st.Syncer)
	st.Available = labels.Add
	st.scan(Options{})
	st.write("a.tiff", slidetest.Pyramid{Seed: 3, Label: labelled(t, "NEW")}.Bytes())
	st.readLabels(labels)
	if im := st.image("a.tiff"); im.Barcode != nil || im.BarcodeSource != "" {
		t.Errorf("barcode %v from %q: the file is another than the one recorded", *im.Barcode, im.BarcodeSource)
	}
	st.later(time.Minute)
	st.scan(Options{})
	st.readLabels(labels)
	if im := st.image("a.tiff"); im.Barcode == nil || *im.Barcode != "NEW" {
		t.Errorf("barcode %v, want NEW", im.Barcode)
	}
}

// readLabels processes the queue.
func (st *site) readLabels(l *Labels) {
	st.t.Helper()
	for len(l.queue) > 0 {
		if err := l.Read(context.Background(), <-l.queue); err != nil {
			st.t.Fatal(err)
		}
	}
}

func TestLabelTooLarge(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.write("a.tiff", slidetest.Pyramid{Label: image.NewGray(image.Rect(0, 0, 6000, 3000))}.Bytes())
	st.later(time.Minute)
	labels := NewLabels(st.Syncer)
	st.Available = labels.Add
	st.scan(Options{})
	st.readLabels(labels)
	if im := st.image("a.tiff"); im.Barcode != nil || im.BarcodeSource != inspect.FromLabel {
		t.Errorf("barcode %v from %q, want it searched in vain", im.Barcode, im.BarcodeSource)
	}
}
