package slide

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// readXML parses desc as the description of a slide; nil if it is not one of Philips.
func readXML(t testing.TB, desc string) *dpImport {
	t.Helper()
	b := testFile{dirs: []testDir{{fields: map[tiff.Tag]any{tiff.TagImageDescription: desc}}}}.bytes()
	f, err := tiff.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := readImport(f, f.Directories()[0])
	if err != nil {
		t.Fatalf("readImport: %v", err)
	}
	return p
}

// TestXMLQuirks checks how real descriptions deviate from the XML specification. All have
// the same contents.
func TestXMLQuirks(t *testing.T) {
	x := plainXML
	x.more = attribute("DICOM_MANUFACTURERS_MODEL_NAME", "UFS &lt;Scanner&gt; &amp; Söhne")
	x.prolog, x.barcode = "", "S1"
	bare := x.String()
	tests := []struct{ name, desc string }{
		{"no prolog", bare},
		{"UTF-8", `<?xml version="1.0" encoding="UTF-8" ?>` + "\n" + bare},
		{"utf8, as Python's ElementTree writes it", "<?xml version='1.0' encoding='utf8'?>\n" + bare},
		{"us-ascii with character references", "<?xml version='1.0' encoding='us-ascii'?>\n" + strings.ReplaceAll(bare, "ö", "&#246;")},
		{"ISO 8859-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + strings.ReplaceAll(bare, "ö", "\xf6")},
		{"byte order mark", "\xef\xbb\xbf" + `<?xml version="1.0"?>` + bare},
		{"white space before", "\r\n  " + bare},
		{"trailing NULs", bare + "\x00\x00\x00\x00"},
		{"something behind", bare + "\n<!-- made by x --> and more"},
		{"CRLF", strings.ReplaceAll(bare, "\n", "\r\n")},
		{"tabs", strings.ReplaceAll(bare, "\n", "\n\t\t")},
		{"single quotes", strings.ReplaceAll(strings.ReplaceAll(bare, `"`, `'`), "&quot;", `"`)},
		{"space around =", strings.ReplaceAll(bare, `Name="`, `Name = "`)},
		{"Name not the first", strings.ReplaceAll(bare, `<Attribute Name=`, `<Attribute Element="0x115e" Name=`)},
		{"Attributes without name, as left by de-identification", strings.ReplaceAll(bare, "<Array>", "<Array><Attribute/><Attribute></Attribute><Attribute />")},
		{"other attributes whose names end in Name", strings.ReplaceAll(bare, "<Attribute Name=", `<Attribute DisplayName="x" Name=`)},
		{"comments", strings.ReplaceAll(bare, "<Array>", "<!-- <DataObject> > --><Array><!---->")},
		{"CDATA", strings.ReplaceAll(strings.ReplaceAll(bare, ">PHILIPS<", "><![CDATA[PHILIPS]]><"), ">WSI<", "><![CDATA[W]]>SI<")},
		{"document type", `<!DOCTYPE DataObject>` + bare},
		{"white space around values", strings.ReplaceAll(strings.ReplaceAll(bare, ">PHILIPS<", ">\n PHILIPS \x00<"), ">WSI<", "> WSI <")},
		{"lower-case hex", strings.ReplaceAll(bare, "0x0001", "0x000a")},
		{"deep nonsense", strings.ReplaceAll(bare, "<Array>", strings.Repeat("<a>", 100)+"<Attribute Name=\"DICOM_MANUFACTURER\">X</Attribute>"+strings.Repeat("</a>", 100)+"<Array>")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := readXML(t, tt.desc)
			if p == nil {
				t.Fatal("not taken for a Philips slide")
			}
			scans := p.byKind("WSI")
			if len(scans) != 1 {
				t.Fatalf("%d scans, want 1", len(scans))
			}
			if diff := cmp.Diff([]float64{1, 2, 4}, scans[0].downsamples()); diff != "" {
				t.Errorf("downsamples (-want +got):\n%s", diff)
			}
			if y, x, ok := scans[0].spacing(); !ok || y != 0.00025 || x != 0.00025 {
				t.Errorf("spacing %v, %v, %v", y, x, ok)
			}
			if got := p.values["DICOM_MANUFACTURER"]; got != "PHILIPS" {
				t.Errorf("manufacturer %q", got)
			}
			if got, want := p.values["DICOM_MANUFACTURERS_MODEL_NAME"], "UFS <Scanner> & Söhne"; got != want {
				t.Errorf("model %q, want %q", got, want)
			}
			if got := p.values["PIM_DP_UFS_BARCODE"]; got != "S1" {
				t.Errorf("barcode %q", got)
			}
		})
	}
}

// TestXMLCutOff checks that the part of a truncated description before its end is used,
// wherever that is.
func TestXMLCutOff(t *testing.T) {
	desc := plainXML.String()
	found := 0
	for n := range desc {
		if p := readXML(t, desc[:n]); p != nil && len(p.byKind("WSI")) == 1 {
			found++
		}
	}
	if want := len(desc) - strings.Index(desc, "WSI</Attribute>") - len("WSI</Attribute>"); found != want {
		t.Errorf("the scan was seen %d times, want %d", found, want)
	}
}

// TestXMLScanner counts tags between comments that cross every border of the window.
func TestXMLScanner(t *testing.T) {
	const n = 20_000
	var text strings.Builder
	for i := range n {
		text.WriteString("<!-- <x>" + strings.Repeat("-", i%7) + "--><b>")
	}
	desc := text.String()
	b := testFile{dirs: []testDir{{fields: fields{tiff.TagImageDescription: desc}}}}.bytes()
	f, err := tiff.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	e, _ := f.Directories()[0].Entry(tiff.TagImageDescription)
	x := newXMLScanner(f, e)
	got := 0
	for tok := x.next(); tok.kind != xmlEnd; tok = x.next() {
		if tok.kind == xmlOpen && string(tok.tag) == "b" {
			got++
		} else if tok.kind != xmlText {
			t.Fatalf("token %+v", tok)
		}
	}
	if got != n {
		t.Errorf("%d tags, want %d", got, n)
	}
}

// TestXMLWindow checks that values are found wherever the borders of the window are, and
// images longer than the window.
func TestXMLWindow(t *testing.T) {
	label := bytes.Repeat([]byte("label"), xmlWindow/3)
	macro := bytes.Repeat([]byte("macro"), xmlWindow)
	var pads []int
	for pad := xmlWindow - 700; pad < xmlWindow+50; pad += 7 {
		pads = append(pads, pad)
	}
	for pad := xmlWindow - 10; pad < xmlWindow; pad++ {
		pads = append(pads, pad, 2*xmlWindow+pad) // the end of the comment
	}
	for _, pad := range pads {
		x := plainXML
		x.prolog = "<!--" + strings.Repeat("-", pad) + "-->"
		x.images = imageObject("LABELIMAGE", attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(label))) +
			imageObject("MACROIMAGE", attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(macro)))
		x.barcode = "S1"
		desc := x.String()
		b := testFile{dirs: []testDir{{fields: map[tiff.Tag]any{tiff.TagImageDescription: desc}}}}.bytes()
		f, err := tiff.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := readImport(f, f.Directories()[0])
		if err != nil || p == nil {
			t.Fatalf("padding %d: %v, %v", pad, p, err)
		}
		if got := p.values["PIM_DP_UFS_BARCODE"]; got != "S1" {
			t.Fatalf("padding %d: barcode %q", pad, got)
		}
		for kind, want := range map[string][]byte{"LABELIMAGE": label, "MACROIMAGE": macro} {
			images := p.byKind(kind)
			if len(images) != 1 {
				t.Fatalf("padding %d: %d of %s", pad, len(images), kind)
			}
			if got, err := images[0].data.read(f); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("padding %d: %s: %d bytes, want %d, %v", pad, kind, len(got), len(want), err)
			}
		}
	}
}

// TestXMLValues checks which of several values is used.
func TestXMLValues(t *testing.T) {
	long := strings.Repeat("y", maxValue)
	p := readXML(t, `<DataObject ObjectType="DPUfsImport"><DataObject ObjectType="Other"/>`+
		attribute("A", "first")+attribute("A", "second")+
		attribute("B", long+"y")+attribute("C", long)+
		attribute("D", long+"<![CDATA[y]]>")+attribute("", "no name")+
		`<Attribute Name="E">text<Array><Attribute Name="F">inner</Attribute></Array>text</Attribute>`+
		`<DataObject ObjectType="Other"><Attribute Name="G">of another object</Attribute></DataObject>`+
		`</DataObject><Attribute Name="H">behind</Attribute>`)
	want := map[string]string{"A": "first", "C": long, "F": "inner"}
	if diff := cmp.Diff(want, p.values); diff != "" {
		t.Errorf("values (-want +got):\n%.500s", diff)
	}
}

// TestXMLHostile checks the time and memory for malicious descriptions.
func TestXMLHostile(t *testing.T) {
	root := `<DataObject ObjectType="DPUfsImport">`
	image := `<DataObject ObjectType="DPScannedImage">`
	tests := []struct{ name, desc string }{
		{"nothing but opening", root + strings.Repeat("<a>", 1<<20)},
		{"nothing but closing", root + strings.Repeat("</a>", 1<<20)},
		{"nothing but <", root + strings.Repeat("<", 1<<20)},
		{"nothing but images", root + strings.Repeat(image, 1<<16)},
		{"images one after the other", root + strings.Repeat(image+"</DataObject>", 1<<16)},
		{"nothing but attributes", root + strings.Repeat(`<Attribute Name="x">y</Attribute>`, 1<<16)},
		{"long value", root + `<Attribute Name="x">` + strings.Repeat("y", 1<<21) + `</Attribute>`},
		{"long tag", root + `<Attribute Name="` + strings.Repeat("y", 1<<21) + `"/>`},
		{"one value in many pieces", root + `<Attribute Name="x">` + strings.Repeat("<![CDATA["+strings.Repeat("y", 4000)+"]]>", 1<<10) + `</Attribute>`},
		{"entities", `<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]>` + root + strings.Repeat("&c;", 1<<16)},
		{"comment without end", root + "<!--" + strings.Repeat("-", 1<<20)},
		{"CDATA without end", root + "<![CDATA[" + strings.Repeat("x", 1<<20)},
		{"prolog without end", "<?xml" + strings.Repeat(" ", 1<<20)},
		{"empty", ""},
		{"<", "<"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := readXML(t, tt.desc)
			if p == nil {
				return
			}
			size := 0
			for k, v := range p.values {
				size += len(k) + len(v)
			}
			if len(p.images) > maxObjects || len(p.values) > maxAttributes || size > maxAttributes*2*maxValue {
				t.Errorf("%d images, %d values of %d bytes", len(p.images), len(p.values), size)
			}
		})
	}
}

// bigDescription returns a description of at least n bytes, most of them a macro image.
func bigDescription(n int) string {
	x := plainXML
	x.images = imageObject("MACROIMAGE", attribute("PIM_DP_IMAGE_DATA", strings.Repeat("QUJD", n/4)))
	return x.String()
}

// BenchmarkDescription reads one as long as that of the sample slide Philips-2,
// which holds the macro picture. The bytes per second are of the description.
func BenchmarkDescription(b *testing.B) {
	for _, n := range []int{9 << 10, 844 << 10} {
		b.Run(fmt.Sprintf("%dkB", n>>10), func(b *testing.B) {
			data := testFile{dirs: []testDir{{fields: map[tiff.Tag]any{tiff.TagImageDescription: bigDescription(n)}}}}.bytes()
			f, err := tiff.Open(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if p, err := readImport(f, f.Directories()[0]); err != nil || len(p.images) != 2 {
					b.Fatal(p, err)
				}
			}
		})
	}
}
