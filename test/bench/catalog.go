package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// A listed has the times of queries on one database.
type listed struct {
	name     string
	rate     float64 // images put a second
	size     float64 // bytes of the database
	p50, p99 []time.Duration
}

// questions are typical queries of the gallery. The names of each hundred thousand slides
// have the same year; the descriptions are for a million slides.
var questions = []struct {
	words string
	catalog.Query
	store int // counted from 1; 0: all
}{
	{"all, newest first", catalog.Query{}, 0},
	{"all, by name", catalog.Query{Sort: catalog.SortName}, 0},
	{"all, by size", catalog.Query{Sort: catalog.SortSize}, 0},
	{"all, by state", catalog.Query{Sort: catalog.SortState}, 0},
	{"the broken ones of a small store", catalog.Query{State: catalog.Broken}, 3},
	{"search: part of every name", catalog.Query{Q: "slide"}, 0},
	{"search: part of every tenth name", catalog.Query{Q: "2019"}, 0},
	{"search: part of ten names", catalog.Query{Q: "-001234_"}, 0},
	{"search: part of a barcode, in a small store", catalog.Query{Q: "19-0042"}, 3},
	{"search: two letters, the beginning of every name", catalog.Query{Q: "sl"}, 0},
	{"search: in no name", catalog.Query{Q: "no such"}, 0},
	{"search: part of ten names, by name", catalog.Query{Q: "-001234_", Sort: catalog.SortName}, 0},
	{"search: part of ten names, by size", catalog.Query{Q: "-001234_", Sort: catalog.SortSize}, 0},
	{"search: part of every tenth name, by size", catalog.Query{Q: "2019", Sort: catalog.SortSize}, 0},
	{"search: part of every tenth name, one year of many, by name", catalog.Query{Q: "2019", Sort: catalog.SortName}, 0},
}

// listingTimes is how often each query runs.
const listingTimes = 200

// listings fills a catalog on each kind of database and measures the queries.
func listings(ctx context.Context, o *options, r *report) error {
	path := filepath.Join(o.work, "listed.db")
	lite, err := listing(ctx, o, "SQLite", "sqlite:"+path)
	if err != nil {
		return err
	}
	for _, end := range []string{"", "-wal"} {
		if st, err := os.Stat(path + end); err == nil {
			lite.size += float64(st.Size())
		}
	}
	list := []*listed{lite}
	server, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, "bench: not measured:", err)
	} else if err != nil {
		return err
	} else {
		defer server.Close() //nolint:errcheck // it is a temporary one
		big, err := listing(ctx, o, "PostgreSQL", server.URL)
		if err != nil {
			return err
		}
		if big.size, err = server.Size(ctx); err != nil {
			return err
		}
		list = append(list, big)
	}
	r.catalog(o, listingTimes, list)
	return nil
}

func listing(ctx context.Context, o *options, name, url string) (*listed, error) {
	c, err := catalog.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var stores []string
	for _, root := range []string{"/a", "/b", "/c"} {
		st, err := c.Stores.Put(ctx, catalog.Store{Label: root, Mode: catalog.InPlace, Root: root})
		if err != nil {
			return nil, err
		}
		stores = append(stores, st.ID)
	}
	l := &listed{name: name}
	took, err := timed(func() error { return fill(ctx, c, stores, o.images) })
	if err != nil {
		return nil, err
	}
	l.rate = float64(o.images) / took.Seconds()
	for _, q := range questions {
		query := q.Query
		query.Labels = true
		if q.store > 0 {
			query.Store = stores[q.store-1]
		}
		var times []time.Duration
		for range listingTimes {
			took, err := timed(func() error {
				page, err := c.Images.List(ctx, query)
				if err == nil {
					query.Cursor = page.NextCursor
				}
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.words, err)
			}
			times = append(times, took)
		}
		l.p50 = append(l.p50, median(times)) // which sorts them
		l.p99 = append(l.p99, times[len(times)*99/100])
	}
	return l, nil
}

// fill adds n images to stores, two thirds of them to the first.
func fill(ctx context.Context, c *catalog.Catalog, stores []string, n int) error {
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; {
		var batch []*catalog.Image
		for range min(1000, n-i) {
			k := 0
			if i%2 == 1 {
				k = i / 2 % len(stores)
			}
			batch = append(batch, numbered(stores[k], i, random))
			i++
		}
		if err := c.Images.Put(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// numbered returns the i-th slide of a department that numbers slides by year.
func numbered(store string, i int, random *rand.Rand) *catalog.Image {
	year := 2015 + i/100_000
	name := fmt.Sprintf("Slide-%d-%06d_%06x.tiff", year, i%100_000, random.IntN(1<<24))
	code, mpp, power := fmt.Sprintf("S%d-%07d", year-2000, i*7919%10_000_019), 0.25, 40.0
	im := &catalog.Image{
		StoreID: store, Path: fmt.Sprintf("%d/%02d/%s", year, i%12+1, name), State: catalog.Available,
		Identity: fsx.Identity{Dev: 2049, Ino: uint64(i) + 100, Size: random.Int64N(10 << 30), MTime: 1.7e18 + int64(i), CTime: 1.7e18 + int64(i)}, //nolint:gosec // not below 0
		Description: catalog.Description{
			FileName: name, Format: "philips", Vendor: "PHILIPS", Width: 120_000, Height: 90_000, TileWidth: 512, TileHeight: 512, MaxZoom: 8,
			MPPX: &mpp, MPPY: &mpp, ObjectivePower: &power, Barcode: &code, BarcodeSource: "file", Associated: []string{"label", "macro"},
			Properties: map[string]string{"scanner": "UFS", "compression": "jpeg 80"},
			FirstSeen:  time.Unix(1_700_000_000, 0), LastChange: time.Unix(1_700_000_000, 0),
		},
	}
	for w, h, f := im.Width, im.Height, 1.0; w > 256; w, h, f = w/2, h/2, f*2 {
		im.Levels = append(im.Levels, catalog.Level{Width: w, Height: h, TileWidth: 512, TileHeight: 512, Columns: (w + 511) / 512, Rows: (h + 511) / 512, Downsample: f})
	}
	im.Revision = im.Identity.Revision()
	if i%49 == 0 {
		im.State, im.Reason = catalog.Broken, "ends 3.2 GB early at tag 324"
	}
	return im
}
