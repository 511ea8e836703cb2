package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// databases are the databases that every test uses: each returns the URL of an empty
// catalog.
var databases = []struct {
	name string
	url  func(testing.TB) string
}{
	{"sqlite", catalog.Template.SQLite},
	{"postgres", catalog.Template.Postgres},
}

// onEach runs a test on an empty catalog of each database, in parallel with other tests,
// except the long ones, which measure times.
func onEach(t *testing.T, test func(*testing.T, *catalog.Catalog)) {
	t.Helper()
	if !long() {
		t.Parallel()
	}
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			if !long() {
				t.Parallel()
			}
			test(t, open(t, db.url(t)))
		})
	}
}

func open(t testing.TB, url string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func putStore(t testing.TB, c *catalog.Catalog, root string) string {
	t.Helper()
	s, err := c.Stores.Put(t.Context(), catalog.Store{Label: "l", Mode: catalog.InPlace, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func put(t testing.TB, c *catalog.Catalog, images ...*catalog.Image) {
	t.Helper()
	if err := c.Images.Put(t.Context(), images); err != nil {
		t.Fatal(err)
	}
}

func known[T any](v T) *T { return &v }

// slide is the i-th slide of a department that numbers them by year: of each
// hundred thousand, all have the same year, and one in fifty is broken.
func slide(store string, i int, random *rand.Rand) *catalog.Image {
	name := fmt.Sprintf("Slide-%d-%06d_%06x.tiff", 2015+i/100_000, i%100_000, random.IntN(1<<24))
	im := &catalog.Image{
		StoreID: store, Path: fmt.Sprintf("%d/%02d/%s", 2015+i/100_000, i%12+1, name), State: catalog.Available,
		Identity: fsx.Identity{Dev: 2049, Ino: uint64(i) + 100, Size: random.Int64N(10 << 30), MTime: 1.7e18 + int64(i), CTime: 1.7e18 + int64(i)},
		Description: catalog.Description{
			FileName: name, Format: "philips", Vendor: "PHILIPS", Width: 120_000, Height: 90_000, TileWidth: 512, TileHeight: 512, MaxZoom: 8,
			MPPX: known(0.25), MPPY: known(0.25), ObjectivePower: known(40.0), Barcode: known(fmt.Sprintf("S%d-%07d", 15+i/100_000, i*7919%10_000_019)),
			BarcodeSource: "file", Associated: []string{"label", "macro"}, Properties: map[string]string{"scanner": "UFS", "compression": "jpeg 80"},
			FirstSeen: time.Unix(1_700_000_000, 0), LastChange: time.Unix(1_700_000_000, 0),
		},
	}
	if long() { // these take most of the time, and matter only for measurements
		for w, h, f := 120_000, 90_000, 1.0; w > 256; w, h, f = w/2, h/2, f*2 {
			im.Levels = append(im.Levels, catalog.Level{Width: w, Height: h, TileWidth: 512, TileHeight: 512, Columns: (w + 511) / 512, Rows: (h + 511) / 512, Downsample: f})
		}
	}
	im.Revision = im.Identity.Revision()
	if i%50 == 0 {
		im.State, im.Reason = catalog.Broken, "ends 3.2 GB early at tag 324"
	}
	return im
}

// fill adds n slides to stores, half of them to the first.
func fill(t testing.TB, c *catalog.Catalog, stores []string, n int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	for i := 0; i < n; {
		var batch []*catalog.Image
		for range min(1000, n-i) {
			k := max(0, i%(2*len(stores))-len(stores)) % len(stores)
			batch = append(batch, slide(stores[k], i, random))
			i++
		}
		put(t, c, batch...)
	}
	d := time.Since(began)
	t.Logf("%d images added in %v: %.0f/s", n, d.Round(time.Millisecond), float64(n)/d.Seconds())
}
