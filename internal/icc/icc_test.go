package icc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAgainstLittleCMS compares whole tables, as pixels are converted with them, with Little CMS 2:
// over the RGB and gray profiles of Debian's packages, and those that the tests make, with each intent.
func TestAgainstLittleCMS(t *testing.T) {
	if _, err := exec.LookPath("transicc"); err != nil {
		t.Skip("transicc is not installed: scripts/setup test")
	}
	profiles := made()
	const debian = "/usr/share/color/icc"
	n := 0
	for _, pattern := range []string{"*.ic[cm]", "*.ICM", "*/*.ic[cm]"} {
		files, _ := filepath.Glob(filepath.Join(debian, pattern))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if h, err := ReadHeader(b); err == nil && (h.Space == "RGB" || h.Space == "GRAY") && h.Class != "abst" && h.Class != "nmcl" {
				profiles[strings.TrimPrefix(f, debian+"/")] = b
				n++
			}
		}
	}
	if n == 0 {
		t.Log("no profiles in " + debian + ": scripts/setup test")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	colors := make([]byte, 0, 4*2000)
	for range 2000 {
		colors = append(colors, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 255)
	}
	worst := 0.0
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		for intent := range uint32(3) {
			if intent > 0 && strings.Contains(name, "/") {
				continue // of matrices, all intents are the same but for the black
			}
			b := bytes.Clone(profiles[name])
			binary.BigEndian.PutUint32(b[64:], intent)
			p, err := Parse(b)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			src := bytes.Clone(colors)
			if p.Space == "GRAY" {
				for i := 0; i < len(src); i += 4 {
					src[i+1], src[i+2] = src[i], src[i]
				}
			}
			want := littleCMS(t, b, src, p.Space, intent)
			got := make([]byte, len(src))
			p.Table().Convert(got, src)
			var sum, most float64
			for i := range want {
				e := deltaE(want[i], [3]float64{float64(got[4*i]), float64(got[4*i+1]), float64(got[4*i+2])})
				sum += e
				most = max(most, e)
			}
			mean := sum / float64(len(want))
			worst = max(worst, mean)
			t.Logf("%-36s intent %d: mean ΔE00 %.3f, most %.2f", name, intent, mean, most)
			if !(mean <= 0.2) {
				t.Errorf("%s, intent %d: mean ΔE00 %.3f, want at most 0.2", name, intent, mean)
			}
		}
	}
	t.Logf("%d profiles, worst mean ΔE00 %.3f", len(profiles), worst)
}

// littleCMS returns the sRGB of pixels of 4 bytes by Little CMS, 0 to 255.
func littleCMS(t *testing.T, profile, src []byte, space string, intent uint32) [][3]float64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.icc")
	if err := os.WriteFile(file, profile, 0o600); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for i := 0; i < len(src); i += 4 {
		if space == "GRAY" {
			fmt.Fprintln(&in, src[i])
		} else {
			fmt.Fprintln(&in, src[i], src[i+1], src[i+2])
		}
	}
	cmd := exec.Command("transicc", "-v0", fmt.Sprint("-t", intent), "-i"+file, "-o*sRGB")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("transicc: %v", err)
	}
	var result [][3]float64
	for line := range strings.Lines(string(out)) {
		var v [3]float64
		if _, err := fmt.Sscan(line, &v[0], &v[1], &v[2]); err != nil {
			t.Fatalf("transicc: line %q: %v", line, err)
		}
		for i := range v {
			v[i] = min(max(v[i], 0), 255)
		}
		result = append(result, v)
	}
	if len(result) != len(src)/4 {
		t.Fatalf("transicc: %d colours, want %d", len(result), len(src)/4)
	}
	return result
}

// deltaE is CIEDE2000 of two colours of sRGB, 0 to 255.
func deltaE(a, b [3]float64) float64 {
	lab := func(v [3]float64) [3]float64 {
		for i := range v {
			if v[i] /= 255; v[i] <= 0.04045 {
				v[i] /= 12.92
			} else {
				v[i] = math.Pow((v[i]+0.055)/1.055, 2.4)
			}
		}
		m := matrix{m: [3][3]float64{{0.4360747, 0.3850649, 0.1430804}, {0.2225045, 0.7168786, 0.0606169}, {0.0139322, 0.0971045, 0.7141733}}}
		m.apply(&v)
		return toLab(v)
	}
	return deltaLab(lab(a), lab(b))
}

// deltaLab is CIEDE2000 as by Sharma, Wu and Dalal (2005).
func deltaLab(p, q [3]float64) float64 {
	rad := math.Pi / 180
	c := (math.Hypot(p[1], p[2]) + math.Hypot(q[1], q[2])) / 2
	g := 0.5 * (1 - math.Sqrt(math.Pow(c, 7)/(math.Pow(c, 7)+math.Pow(25, 7))))
	a1, a2 := p[1]*(1+g), q[1]*(1+g)
	c1, c2 := math.Hypot(a1, p[2]), math.Hypot(a2, q[2])
	hue := func(a, b float64) float64 {
		if a == 0 && b == 0 {
			return 0
		}
		return math.Mod(math.Atan2(b, a)/rad+360, 360)
	}
	h1, h2 := hue(a1, p[2]), hue(a2, q[2])
	dh, h := h2-h1, h1+h2
	if c1*c2 == 0 {
		dh = 0
	} else {
		if dh > 180 {
			dh -= 360
		} else if dh < -180 {
			dh += 360
		}
		if math.Abs(h1-h2) > 180 {
			if h < 360 {
				h += 360
			} else {
				h -= 360
			}
		}
		h /= 2
	}
	dL, dC, dH := q[0]-p[0], c2-c1, 2*math.Sqrt(c1*c2)*math.Sin(dh/2*rad)
	l, cm := (p[0]+q[0])/2, (c1+c2)/2
	tt := 1 - 0.17*math.Cos((h-30)*rad) + 0.24*math.Cos(2*h*rad) + 0.32*math.Cos((3*h+6)*rad) - 0.2*math.Cos((4*h-63)*rad)
	sl := 1 + 0.015*(l-50)*(l-50)/math.Sqrt(20+(l-50)*(l-50))
	sc, sh := 1+0.045*cm, 1+0.015*cm*tt
	rt := -2 * math.Sqrt(math.Pow(cm, 7)/(math.Pow(cm, 7)+math.Pow(25, 7))) * math.Sin(60*rad*math.Exp(-math.Pow((h-275)/25, 2)))
	return math.Sqrt(math.Pow(dL/sl, 2) + math.Pow(dC/sc, 2) + math.Pow(dH/sh, 2) + rt*dC/sc*dH/sh)
}

// TestDeltaLab checks the oracle's own measure by pairs of table 1 of Sharma, Wu and Dalal.
func TestDeltaLab(t *testing.T) {
	for _, tt := range []struct {
		a, b [3]float64
		want float64
	}{
		{[3]float64{50, 2.6772, -79.7751}, [3]float64{50, 0, -82.7485}, 2.0425},
		{[3]float64{50, 2.5, 0}, [3]float64{73, 25, -18}, 27.1492},
		{[3]float64{2.0776, 0.0795, -1.1350}, [3]float64{0.9033, -0.0636, -0.5514}, 0.9082},
	} {
		if got := deltaLab(tt.a, tt.b); math.Abs(got-tt.want) > 1e-4 {
			t.Errorf("deltaLab(%v, %v) = %.4f, want %.4f", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestSRGB(t *testing.T) {
	para := join([]byte("para"), be32(0), be16(3, 0), fixed(2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045))
	same := shaper(para)
	for i, v := range [][]float64{{0.43607, 0.22249, 0.01392}, {0.38515, 0.71687, 0.09708}, {0.14307, 0.06061, 0.7141}} {
		same[i].data = join([]byte("XYZ "), be32(0), fixed(v...))
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"sRGB", spec{"mntr", "RGB", "XYZ", 4, 0, same}.build(), true},
		{"other primaries", spec{"mntr", "RGB", "XYZ", 4, 0, shaper(para)}.build(), false},
		{"table", made()["mft2 Lab v2"], false},
	} {
		p, err := Parse(tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.SRGB(); got != tt.want {
			t.Errorf("%s: SRGB = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestDebianSRGB checks profiles that are sRGB by other names, and ones that are not.
func TestDebianSRGB(t *testing.T) {
	for name, want := range map[string]bool{
		"sRGB.icc": true, "colord/sRGB.icc": true, "ghostscript/srgb.icc": true, "ghostscript/default_rgb.icc": true,
		"colord/AdobeRGB1998.icc": false, "compatibleWithAdobeRGB1998.icc": false, "colord/SMPTE-C-RGB.icc": false,
	} {
		b, err := os.ReadFile("/usr/share/color/icc/" + name)
		if err != nil {
			t.Logf("%s: not installed", name)
			continue
		}
		p, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.SRGB(); got != want {
			t.Errorf("%s: SRGB = %v, want %v", name, got, want)
		}
	}
}

// TestTable checks the order of Bytes, and that Convert hits the points exactly and copies alpha.
func TestTable(t *testing.T) {
	p, err := Parse(made()["curv gamma"])
	if err != nil {
		t.Fatal(err)
	}
	table := p.Table()
	b := table.Bytes()
	if len(b) != TableBytes {
		t.Fatalf("%d bytes, want %d", len(b), TableBytes)
	}
	// 8-bit values that are points: 0 and 255 only, as 255 is not a multiple of 32.
	for _, c := range [][3]int{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}} {
		src := []byte{byte(255 * c[0]), byte(255 * c[1]), byte(255 * c[2]), 7}
		at := 3 * (c[0]*32 + c[1]*32*33 + c[2]*32*33*33)
		want := append(bytes.Clone(b[at:at+3]), 7)
		got := make([]byte, 4)
		table.Convert(got, src)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pixel %v (-want +got):\n%s", src, d)
		}
	}
	// In place, and a length that is no whole pixel.
	pixels := []byte{10, 200, 30, 255, 10, 200, 30, 255, 1, 2}
	want := make([]byte, 4)
	table.Convert(want, pixels[:4])
	table.Convert(pixels, pixels)
	if d := cmp.Diff(append(append(bytes.Clone(want), want...), 1, 2), pixels); d != "" {
		t.Errorf("in place (-want +got):\n%s", d)
	}
}

func TestParseErrors(t *testing.T) {
	good := made()["mft2 Lab v2"]
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	table := bytes.Index(good, []byte("mft2"))
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "not an ICC profile"},
		{"short", good[:131], "not an ICC profile"},
		{"not a profile", edit(func(b []byte) { b[36] = 'x' }), "not an ICC profile"},
		{"cut", good[:len(good)-1000], "bytes"},
		{"many tags", edit(func(b []byte) { copy(b[128:], be32(1<<31)) }), "list of 2147483648 tags"},
		{"CMYK", edit(func(b []byte) { copy(b[16:], "CMYK") }), "CMYK pixels"},
		{"device link", edit(func(b []byte) { copy(b[12:], "link") }), `class "link"`},
		{"version 5", edit(func(b []byte) { b[8] = 5 }), "version 5.0.0"},
		{"no table", edit(func(b []byte) { copy(b[bytes.Index(b, []byte("A2B0")):], "XXXX") }), "neither a table"},
		{"four channels", edit(func(b []byte) { b[table+8] = 4 }), "4 channels in"},
		{"huge cube", edit(func(b []byte) { b[table+10] = 255 }), "A2B0 cannot be read"},
		{"cube of one", edit(func(b []byte) { b[table+10] = 1 }), "A2B0 cannot be read"},
		{"long curves", edit(func(b []byte) { copy(b[table+48:], be16(65535)) }), "A2B0 cannot be read"},
		{"unknown table", edit(func(b []byte) { copy(b[table:], "mpet") }), `type "mpet"`},
		{"tag outside", edit(func(b []byte) { copy(b[bytes.Index(b, []byte("A2B0"))+4:], be32(1<<31)) }), "A2B0 cannot be read"},
		{"curve missing", spec{"scnr", "RGB", "XYZ", 2, 0, shaper(nil)[:5]}.build(), "neither a table"},
		{"curve damaged", spec{"scnr", "RGB", "XYZ", 2, 0, shaper(join([]byte("curv"), be32(0, 1<<30)))}.build(), "rTRC cannot be read"},
	} {
		_, err := Parse(tt.b)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestReadHeader(t *testing.T) {
	for name, want := range map[string]Header{
		"mft2 Lab v2": {Name: "made", Class: "scnr", Space: "RGB", PCS: "Lab", Version: "2.0.0"},
		"mAB 8 Lab":   {Name: "made", Class: "mntr", Space: "RGB", PCS: "Lab", Version: "4.0.0"},
	} {
		b := made()[name]
		got, err := ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		want.Size = len(b)
		got.major, got.intent, got.tags, got.data = 0, 0, nil, nil
		if d := cmp.Diff(want, got, cmp.AllowUnexported(Header{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// FuzzParse feeds damaged profiles: all that parses is evaluated, in bounded time.
func FuzzParse(f *testing.F) {
	for _, s := range small() {
		f.Add(s.build())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadHeader(b)
		start := time.Now()
		p, err := Parse(b)
		if err != nil {
			return
		}
		p.grid(5, func(_ int, v [3]float64) bool {
			for _, x := range v {
				if !(x >= 0 && x <= 1) {
					t.Fatalf("sRGB %v", v)
				}
			}
			return true
		})
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func BenchmarkTable(b *testing.B) {
	p, err := Parse(made()["mAB M Lab"])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Table()
	}
}

func BenchmarkConvert(b *testing.B) {
	p, err := Parse(made()["mft2 Lab v2"])
	if err != nil {
		b.Fatal(err)
	}
	table := p.Table()
	pix := make([]byte, 512*512*4)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range pix {
		pix[i] = byte(128 + rng.Uint32()%64)
	}
	dst := make([]byte, len(pix))
	b.SetBytes(int64(len(pix)))
	for b.Loop() {
		table.Convert(dst, pix)
	}
}
