package tile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/slide"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name  string
		url   string // path?query
		want  Request
		wrong bool
	}{
		{name: "zoom", url: "/api/v1/images/ab/tiles/3/2/1", want: Request{Image: "ab", Address: Address{Z: 3, X: 2, Y: 1}}},
		{name: "zoom with suffix", url: "/api/v1/images/ab/tiles/3/2/1.jpg", want: Request{Image: "ab", Address: Address{Z: 3, X: 2, Y: 1}}},
		{name: "revision", url: "/api/v1/images/ab/tiles/3/2/1?x=1&v=r1", want: Request{Image: "ab", Address: Address{Z: 3, X: 2, Y: 1, Revision: "r1"}}},
		{name: "name", url: "/api/v1/images/ab/tiles/tqr.jpg", want: Request{Image: "ab", Address: Address{Kind: ByName, Name: "tqr"}}},
		{name: "name from the bottom", url: "/api/v1/images/ab/tiles/tqr.jpg?origin=bottom-left", want: Request{Image: "ab", Address: Address{Kind: ByName, Name: "tqr", Origin: slide.BottomLeft}}},
		{name: "deep zoom", url: "/dzi/ab_files/17/200_3.jpg", want: Request{Image: "ab", Address: Address{Kind: DeepZoom, Z: 17, X: 200, Y: 3}}},
		{name: "deep zoom jpeg", url: "/dzi/ab_files/0/0_0.jpeg", want: Request{Image: "ab", Address: Address{Kind: DeepZoom}}},
		{name: "slideatlas path", url: "/tile/st/ab/tt.jpg", want: Request{Store: "st", Image: "ab", ByFile: true, Address: Address{Kind: ByName, Name: "tt"}}},
		{name: "slideatlas query", url: "/tile?db=st&img=ab&name=t.jpg", want: Request{Store: "st", Image: "ab", ByFile: true, Address: Address{Kind: ByName, Name: "t"}}},
		{name: "slideatlas query escaped", url: "/tile?img=a%20b.tiff&name=t.jpg&db=st", want: Request{Store: "st", Image: "a b.tiff", ByFile: true, Address: Address{Kind: ByName, Name: "t"}}},
		{name: "prototype counts x, y, level", url: "/apiv1/slides/s.tiff/5/6/2", want: Request{Image: "s.tiff", ByFile: true, Address: Address{Kind: ByLevel, Z: 2, X: 5, Y: 6}}},
		{name: "zoomify", url: "/zoomify/ab/TileGroup12/5-30-4.jpg?v=r1", want: Request{Image: "ab", Address: Address{Kind: Zoomify, Z: 5, X: 30, Y: 4, Revision: "r1"}}},

		{name: "zoomify without suffix", url: "/zoomify/ab/TileGroup0/0-0-0", wrong: true},
		{name: "zoomify without group", url: "/zoomify/ab/0-0-0.jpg", wrong: true},
		{name: "zoomify of no group", url: "/zoomify/ab/TileGroup/0-0-0.jpg", wrong: true},
		{name: "zoomify of two numbers", url: "/zoomify/ab/TileGroup0/0-0.jpg", wrong: true},
		{name: "zoomify of four numbers", url: "/zoomify/ab/TileGroup0/0-0-0-0.jpg", wrong: true},
		{name: "zoomify of a path", url: "/zoomify/a/b/TileGroup0/0-0-0.jpg", wrong: true},
		{name: "zoomify's description", url: "/zoomify/ab/ImageProperties.xml", wrong: true},
		{name: "other page", url: "/api/v1/images/ab", wrong: true},
		{name: "label of the prototype", url: "/apiv1/slides/s.tiff/label/", wrong: true},
		{name: "no image", url: "/api/v1/images//tiles/0/0/0", wrong: true},
		{name: "image with slash", url: "/api/v1/images/a/b/tiles/0/0/0", wrong: true},
		{name: "negative", url: "/api/v1/images/ab/tiles/-1/0/0", wrong: true},
		{name: "plus sign", url: "/api/v1/images/ab/tiles/+1/0/0", wrong: true},
		{name: "leading zero", url: "/api/v1/images/ab/tiles/01/0/0", wrong: true},
		{name: "hexadecimal", url: "/api/v1/images/ab/tiles/0x1/0/0", wrong: true},
		{name: "ten digits", url: "/api/v1/images/ab/tiles/0/1000000000/0", wrong: true},
		{name: "empty number", url: "/api/v1/images/ab/tiles/0//0", wrong: true},
		{name: "name without suffix", url: "/api/v1/images/ab/tiles/tqr", wrong: true},
		{name: "name too long", url: "/api/v1/images/ab/tiles/t" + strings.Repeat("q", 32) + ".jpg", wrong: true},
		{name: "unknown origin", url: "/api/v1/images/ab/tiles/t.jpg?origin=middle", wrong: true},
		{name: "slideatlas without store", url: "/tile?img=ab&name=t.jpg", wrong: true},
		{name: "deep zoom of another grid", url: "/dzi/ab_files/3/1_2.jpg?overlap=1&tile_size=254", want: Request{Image: "ab", Address: Address{Kind: DeepZoom, Z: 3, X: 1, Y: 2, TileSize: 254, Overlap: 1}}},
		{name: "tiles that are too small", url: "/dzi/ab_files/3/1_2.jpg?tile_size=63", wrong: true},
		{name: "tiles that are too large", url: "/dzi/ab_files/3/1_2.jpg?tile_size=2049", wrong: true},
		{name: "too much overlap", url: "/dzi/ab_files/3/1_2.jpg?overlap=65", wrong: true},
		{name: "a grid of another kind", url: "/tile/st/ab/t.jpg?tile_size=1", want: Request{Image: "ab", Store: "st", ByFile: true, Address: Address{Kind: ByName, Name: "t"}}},
		{name: "deep zoom of two numbers", url: "/dzi/ab_files/3/1.jpg", wrong: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, query, _ := strings.Cut(tt.url, "?")
			var got Request
			ok := Parse(path, query, &got)
			if ok == tt.wrong {
				t.Fatalf("Parse(%q) = %v, want %v", tt.url, ok, !tt.wrong)
			}
			if ok {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("Parse(%q) (-want +got):\n%s", tt.url, diff)
				}
			}
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	var r Request
	if n := testing.AllocsPerRun(100, func() {
		Parse("/api/v1/images/abcdefgh/tiles/7/100/100.jpg", "v=abcd", &r)
	}); n != 0 {
		t.Errorf("Parse allocates %v times, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/api/v1/images/ab/tiles/3/2/1.jpg", "/tile/st/ab/tt.jpg", "/dzi/ab_files/1/2_3.jpg", "/apiv1/slides/s/1/2/3", "/tile"} {
		f.Add(s, "db=a&img=b&name=t.jpg&v=1&origin=top-left")
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		var r Request
		if !Parse(path, query, &r) {
			return
		}
		if r.Image == "" || r.Z < 0 || r.X < 0 || r.Y < 0 || (r.Kind == ByName) != (r.Name != "") {
			t.Errorf("Parse(%q, %q) gives %+v", path, query, r)
		}
	})
}
