package barcode

import (
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	tests := []struct {
		name     string
		kind     Kind
		text     string
		modulePx int
		want     image.Point // pixels, including the quiet zone
		err      string
	}{
		{"QR version 1", QR, "S24-00817", 3, image.Pt((21+8)*3, (21+8)*3), ""},
		{"Data Matrix of 14", DataMatrix, "S24-00817", 4, image.Pt((14+4)*4, (14+4)*4), ""},
		{"Code 128", Code128, "S240081", 2, image.Pt((11*7+13+20)*2, (20+20)*2), ""},
		{"EAN without check digit", EAN13, "590123412345", 1, image.Pt(95+22, 20+22), ""},
		{"EAN with check digit", EAN13, "5901234123457", 1, image.Pt(95+22, 20+22), ""},
		{"EAN with a wrong one", EAN13, "5901234123458", 1, image.Point{}, "checksum"},
		{"EAN-8's length for EAN-13", EAN13, "96385074", 1, image.Point{}, "want 12"},
		{"letters in ITF", ITF, "24A8", 1, image.Point{}, "itf"},
		{"odd number of digits in ITF", ITF, "248", 1, image.Point{}, "even"},
		{"small letters in Code 39", Code39, "s24", 1, image.Point{}, "code39"},
		{"letters in Codabar", Codabar, "S24", 1, image.Point{}, "codabar"},
		{"Latin-1 in Code 128", Code128, "Müller", 1, image.Point{}, "byte 1 is not ASCII"},
		{"Greek in Data Matrix", DataMatrix, "Αθήνα", 1, image.Point{}, "Latin-1"},
		{"what the library takes for FNC1", DataMatrix, "ève", 1, image.Point{}, "FNC1"},
		{"too much for Data Matrix", DataMatrix, strings.Repeat("x", 1559), 1, image.Point{}, "datamatrix"},
		{"too much for any", QR, strings.Repeat("1", 7090), 1, image.Point{}, "7090 bytes"},
		{"no text", QR, "", 1, image.Point{}, "0 bytes"},
		{"no such kind", "morse", "S24", 1, image.Point{}, "unknown kind"},
		{"no module", QR, "S24", 0, image.Point{}, "0 pixels"},
		{"huge module", QR, "S24", 65, image.Point{}, "65 pixels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := Draw(tt.kind, tt.text, tt.modulePx)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Draw(%q, %.20q, %d): error %v, want one about %q", tt.kind, tt.text, tt.modulePx, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := img.Bounds(); got != (image.Rectangle{Max: tt.want}) {
				t.Errorf("Draw(%q, %q, %d) is %v, want %v", tt.kind, tt.text, tt.modulePx, got, tt.want)
			}
		})
	}
}

// TestDrawForOthers reads rendered codes with other programs: our reader follows the
// same description as the encoder, and could have the same mistake.
func TestDrawForOthers(t *testing.T) {
	for _, s := range samples {
		t.Run(string(s.kind)+" "+s.text[:min(9, len(s.text))], func(t *testing.T) {
			args := []string{"zbarimg", "--quiet", "--raw", "-Sdisable", "-S" + map[Kind]string{
				QR: "qrcode", Code128: "code128", Code39: "code39", Code93: "code93",
				Codabar: "codabar", ITF: "i25", EAN8: "ean8", EAN13: "ean13",
			}[s.kind] + ".enable"}
			want := s.text
			switch s.kind {
			case Aztec:
				t.Skip("neither zbarimg nor dmtxread reads Aztec")
			case DataMatrix:
				args = []string{"dmtxread", "--stop-after=1"}
				want = latin1String(want)
			case Codabar:
				want = "A" + want + "A"
			}
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skipf("%s is not installed (Debian: zbar-tools, dmtx-utils)", args[0])
			}
			path := filepath.Join(t.TempDir(), "code.png")
			writePNG(t, path, mustDraw(t, s.kind, s.text, 4))
			out, err := exec.Command(args[0], append(args[1:], path)...).Output()
			if got := strings.TrimSuffix(string(out), "\n"); got != want {
				t.Errorf("%s reads %q, %v, want %q", args[0], got, err, want)
			}
		})
	}
}

// latin1String returns the text's bytes in Latin-1, as dmtxread prints them.
func latin1String(text string) string {
	b, err := latin1(text)
	if err != nil {
		return text
	}
	return string(b)
}

func writePNG(t *testing.T, path string, img image.Image) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
