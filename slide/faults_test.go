package slide

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// TestFaults opens small files that other readers, or this one, once read wrongly.
func TestFaults(t *testing.T) {
	type facts struct {
		Format     string
		Levels     string
		MPP, Power float64
		Associated string
		Warnings   int
	}
	for _, tt := range []struct {
		file string
		want facts
	}{
		{"a-tiledmacro.svs", facts{"aperio", "2048x1536 512x384", 0.5, 20, "label macro thumbnail", 0}},
		{"x-ome-labelfirst.ome.tif", facts{"generic", "1024x768 512x384 256x192", 0.25, 0, "label", 0}},
		{"l-ascending.tif", facts{"generic", "1000x700 500x350 250x175", 0, 0, "", 0}},
		{"svs-comma.svs", facts{"aperio", "1280x960 320x240", 0.499, 20, "thumbnail", 0}},
		{"x-ventana-export.tif", facts{"ventana", "1024x768 512x384 256x192", 0.465, 20, "macro thumbnail", 0}},
		{"x-philips-sw-xres.tif", facts{"philips", "1024x768 512x384 256x192", 0.25, 0, "", 0}},
		{"x-motic.svs", facts{"generic", "1024x768 512x384 256x192", 0.25729, 40, "", 0}},
		{"l-res-ascii.tif", facts{"generic", "1000x700 500x350", 0, 0, "", 2}},
		{"x-tag-unit-ascii.tif", facts{"generic", "1024x768 512x384 256x192", 0, 0, "", 1}},
		{"x-tag-make-beyond.tif", facts{"generic", "1024x768 512x384 256x192", 0, 0, "", 1}},
		{"l-empty-ifd.tif", facts{"generic", "1000x700 500x350", 0, 0, "", 0}},
		{"j-tables-no-eoi-nul.tif", facts{"generic", "1000x700 500x350", 0, 0, "", 0}},
		{"p-doctype.tiff", facts{"philips", "1024x1024 512x512", 0.226907, 40, "label macro", 0}},
		{"deflate-inflates-to-more.tif", facts{"generic", "256x256 128x128", 0, 0, "", 0}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			s, err := openData(t, "faults", tt.file)
			if err != nil {
				t.Fatal(err)
			}
			got := facts{s.Format, levelSizes(s), s.MPPX, s.ObjectivePower, strings.Join(s.Associated(), " "), len(s.Warnings)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("slide (-want +got):\n%s", diff)
			}
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			for _, kind := range s.Associated() {
				if _, err := s.ReadAssociated(kind); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
}

// TestFaultyTexts checks texts that are not what a parser of XML or UTF-8 expects.
func TestFaultyTexts(t *testing.T) {
	open := func(file string) *Slide {
		s, err := openData(t, "faults", file)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	amp := open("svs-amp.svs")
	if got := amp.Properties["aperio.Filename"] + " " + amp.Properties["aperio.Title"]; got != "R&D&copy2_K a&lt;b" {
		t.Errorf("plain text was decoded as HTML: %s", got)
	}
	if got := open("p-bar-b64latin.tiff").Barcode; got != "ÖK-77" {
		t.Errorf("barcode %q, want ÖK-77", got)
	}
}

// TestExifIsDropped checks that no tile has an Exif orientation, which browsers apply.
func TestExifIsDropped(t *testing.T) {
	s, err := openData(t, "faults", "exif-orientation-in-tiles.tif")
	if err != nil {
		t.Fatal(err)
	}
	for level := range s.Levels {
		b, err := s.AppendTile(nil, level, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("Exif")) || strings.Contains(markersOf(b), "APP1") && !strings.Contains(markersOf(b), "APP14") {
			t.Errorf("level %d: tile with markers %s", level, markersOf(b))
		}
	}
}

// TestPlainFaults reads images in strips without byte counts.
func TestPlainFaults(t *testing.T) {
	for file, mpp := range map[string]float64{"strip-count-missing.tif": 0, "strip-count-0.tif": 0, "strip-aperio-extract.tif": 0.497} {
		b, err := os.ReadFile(testData(t, "faults", file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := OpenPlain(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		total := int64(0)
		for row := range p.Rows {
			_, n, err := p.Piece(0, row)
			if err != nil {
				t.Errorf("%s: strip %d: %v", file, row, err)
			}
			total += n
		}
		if want := int64(220 * 180 * 3); total != want || p.MPPX != mpp {
			t.Errorf("%s: %d bytes of pixels and %v µm, want %d and %v", file, total, p.MPPX, want, mpp)
		}
	}
}

// TestOtherKinds names files that are not TIFFs as what they are.
func TestOtherKinds(t *testing.T) {
	for content, want := range map[string]string{
		strings.Repeat("\x00", 128) + "DICM":                             "DICOM",
		"ZISRAWFILE\x00\x00":                                             "Zeiss CZI",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00":                           "Zeiss ZVI",
		"KFB\x00\x01\x02\x03\x04":                                        "KFBio",
		"\xff\xd8\xff\xe0\x00\x10JFIF\x00":                               "JPEG image",
		"\x89PNG\r\n\x1a\n":                                              "PNG image",
		"<DataObject ObjectType=\"DPUfsImport\">":                        "Philips iSyntax",
		"<?xml version=\"1.0\"?><DataObject ObjectType=\"DPUfsImport\">": "Philips iSyntax",
		"<!DOCTYPE html><html><body>Log in":                              "HTML page",
		"[GENERAL]\r\nSLIDE_VERSION = 01.02":                             "MIRAX",
	} {
		_, err := Open(strings.NewReader(content), int64(len(content)))
		if _, ok := errors.AsType[*tiff.UnsupportedError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want an unsupported %s", content, err, want)
		}
	}
}
