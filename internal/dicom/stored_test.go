package dicom

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestJPEG2000 describes slides of JPEG 2000: the codestreams as they are where there is a value of
// the attribute for their colours, otherwise their pixels.
func TestJPEG2000(t *testing.T) {
	t.Parallel()
	type frame struct{ Syntax, Photometric, Lossy, Method string }
	for _, tt := range []struct {
		name  string
		codec uint32
		w, h  int // of tiles; those of the codestreams are 96×80
		want  frame
	}{
		{"rgb.j2k", 33005, 96, 80, frame{JPEG2000Lossy, "YBR_ICT", "01", "ISO_15444_1"}},
		{"single.j2k", 33005, 96, 80, frame{JPEG2000Lossless, "YBR_RCT", "00", ""}},
		{"lossless.jp2", 34712, 96, 80, frame{JPEG2000Lossless, "YBR_RCT", "00", ""}},
		{"rgb.j2k", 33003, 96, 80, frame{ExplicitLittleEndian, "RGB", "01", "ISO_15444_1"}},
		{"422.j2k", 33005, 96, 80, frame{ExplicitLittleEndian, "RGB", "00", ""}},
		{"rgb.j2k", 33005, 112, 96, frame{ExplicitLittleEndian, "RGB", "01", "ISO_15444_1"}},
	} {
		tile, err := os.ReadFile(filepath.Join("../jpeg2000/testdata", tt.name))
		if err != nil {
			t.Fatal(err)
		}
		width, height := 180, 150
		if tt.w > 96 { // one tile, without what is beyond the image
			width, height = 90, 70
		}
		b := slidetest.Level{Width: width, Height: height, TileWidth: tt.w, TileHeight: tt.h, Codec: tt.codec, Photometric: 2, Tile: tile}.Bytes()
		s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		d := newSeries(t, s, Options{ID: "im1", MPPX: 0.25, MPPY: 0.25})
		in := d.Instances[0]
		got := frame{in.TransferSyntax, in.Attributes.Text(PhotometricInterpretation), in.Attributes.Text(LossyImageCompression), in.Attributes.Text(LossyImageCompressionMethod)}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %d: %s", tt.name, tt.codec, diff)
		}
		if !in.IsDecoded() {
			f, err := in.AppendFrame(t.Context(), nil, 1)
			if err != nil || !bytes.Equal(f, codestream(tile)) || string(f[:2]) != "\xff\x4f" {
				t.Errorf("%s %d: a frame of %d bytes, %v", tt.name, tt.codec, len(f), err)
			}
		} else if !jpeg2000.Available() {
			continue
		}
		dir := t.TempDir()
		if err := d.Export(t.Context(), dir, nil); err != nil {
			t.Errorf("%s %d: %v", tt.name, tt.codec, err)
			continue
		}
		validate(t, dir, true)
		if diff := cmp.Diff(want(t, d), pydicom(t, dir)); diff != "" {
			t.Errorf("%s %d: %s", tt.name, tt.codec, diff)
		}
		samePixels(t, s, parts(t, dir))
	}
}

// samePixels compares the first tile of a slide with that of its export.
func samePixels(t *testing.T, s *slide.Slide, files []Part) {
	t.Helper()
	again, err := Open(files)
	if err != nil {
		t.Fatal(err)
	}
	if again.Levels[0].Layout.Codec == slide.JPEG2000 && !jpeg2000.Available() {
		return
	}
	pixels := func(s *slide.Slide) *image.RGBA {
		img, err := render.LevelPixels(t.Context(), s, 0, 0, 0, render.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	if diff := cmp.Diff(pixels(s), pixels(again)); diff != "" {
		t.Errorf("other pixels: %.200s", diff)
	}
}

// TestLargePixels decides for levels whose pixels do not fit into one file.
func TestLargePixels(t *testing.T) {
	t.Parallel()
	for frames, want := range map[int]pixels{
		21845: {decoded, ExplicitLittleEndian, 256, 256, colorModel{3, "RGB"}, ""},
		21846: {encoded, JPEGBaseline, 256, 256, colorModel{3, "YBR_FULL_422"}, lossyJPEG},
	} {
		p := pixels{width: 256, height: 256, colorModel: colorModel{3, "RGB"}}
		p.decode(frames)
		if diff := cmp.Diff(want, p, cmp.AllowUnexported(pixels{}, colorModel{})); diff != "" {
			t.Errorf("%d frames: %s", frames, diff)
		}
	}
}

// TestEncoded writes a level as JPEGs of its pixels.
func TestEncoded(t *testing.T) {
	t.Parallel()
	s := write(t, synth.Generic{Width: 300, Height: 300, Codec: synth.Deflate, PixelsPerCM: 40000})
	d := newSeries(t, s, Options{ID: "im1"})
	in := d.Instances[0]
	in.pixels.how, in.pixels.syntax, in.TransferSyntax, in.loose = encoded, JPEGBaseline, JPEGBaseline, true
	in.Attributes.Set(PhotometricInterpretation, "YBR_FULL_422")
	d.Instances = d.Instances[:1]
	again, err := Open(exported(t, d))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Check(); err != nil || again.Levels[0].Layout.Codec != slide.JPEG {
		t.Errorf("%v, %v", again.Levels[0].Layout.Codec, err)
	}
}

// FuzzCodestream reads headers of JPEG 2000.
func FuzzCodestream(f *testing.F) {
	for _, name := range []string{"rgb.j2k", "gray.j2k", "lossless.jp2", "deep.j2k"} {
		b, err := os.ReadFile(filepath.Join("../jpeg2000/testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := codestream(b)
		if head, err := parseCodestream(s); err == nil && head.components == 0 {
			t.Error("a codestream without components")
		}
		blankComments(bytes.Clone(s))
	})
}
