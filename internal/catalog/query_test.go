package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// everyPage follows the cursors of a query to the last page.
func everyPage(t *testing.T, c *catalog.Catalog, q catalog.Query) []catalog.Image {
	t.Helper()
	var all []catalog.Image
	for range 10_000 {
		p, err := c.Images.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Items...)
		if q.Cursor = p.NextCursor; q.Cursor == "" {
			return all
		}
	}
	t.Fatal("the pages don't end")
	return nil
}

// A query of some stores finds the same images as a query of all stores, without those of
// other stores, in the same order and with any page size.
func TestImagesOfSomeStores(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		var stores []string
		for i := range 4 {
			stores = append(stores, putStore(t, c, fmt.Sprintf("/s%d", i)))
		}
		fill(t, c, stores, 150)
		sets := map[string][]string{
			"none": {}, "one": stores[1:2], "two": {stores[3], stores[0]}, "all": stores, "unknown": {"nothing"}, "one and unknown": {"nothing", stores[2], stores[2]},
		}
		for _, sort := range []catalog.Sort{catalog.SortCreated, catalog.SortName, catalog.SortSize, catalog.SortState} {
			for _, words := range []string{"", "slide", "sl", "01", "no such"} {
				q := catalog.Query{Q: words, Sort: sort, Labels: true, Limit: 1000}
				all := everyPage(t, c, q)
				for name, set := range sets {
					want := []string{}
					for _, im := range all {
						if slices.Contains(set, im.StoreID) {
							want = append(want, im.ID)
						}
					}
					got := []string{}
					q.Stores, q.Limit = set, 17
					for _, im := range everyPage(t, c, q) {
						got = append(got, im.ID)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("%s, sort %s, q %q (-want +got):\n%s", name, sort, words, diff)
					}
				}
			}
		}
	})
}

// The index finds matches beyond the images that a search reads first. The result is the
// same in every order, whether matches are found one by one, all at once or block by block.
func TestSearchFindsWhatIsFarOff(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		stores := []string{putStore(t, c, "/a"), putStore(t, c, "/b")}
		fill(t, c, stores, 4500)
		for _, sort := range []catalog.Sort{catalog.SortCreated, catalog.SortName, catalog.SortSize, catalog.SortState} {
			all := everyPage(t, c, catalog.Query{Sort: sort, Labels: true, Limit: 1000})
			for _, store := range []string{"", stores[1]} {
				for _, words := range []string{"-000", "-0001", "_7f", "-000123", "15-000", "no such"} { // a thousand of the oldest, and fewer
					want, got := []string{}, []string{}
					for _, im := range all {
						if (store == "" || im.StoreID == store) && strings.Contains(strings.ToLower(im.FileName+"\n"+*im.Barcode), words) {
							want = append(want, im.ID)
						}
					}
					for _, im := range everyPage(t, c, catalog.Query{Q: words, Store: store, Sort: sort, Labels: true, Limit: 240}) {
						got = append(got, im.ID)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("sort %s, q %q, store %q: %d found, want %d (-want +got):\n%s", sort, words, store, len(got), len(want), diff)
					}
				}
			}
		}
	})
}

// Store and Stores together select only images that both allow; an unknown Store is an
// error.
func TestImagesOfAStoreAmongSome(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		stores := []string{putStore(t, c, "/a"), putStore(t, c, "/b")}
		fill(t, c, stores, 20)
		for _, tt := range []struct {
			store  string
			stores []string
			found  bool
		}{{stores[0], stores, true}, {stores[0], stores[:1], true}, {stores[0], stores[1:], false}, {stores[0], []string{}, false}, {stores[0], nil, true}} {
			p, err := c.Images.List(t.Context(), catalog.Query{Store: tt.store, Stores: tt.stores})
			if err != nil || len(p.Items) > 0 != tt.found {
				t.Errorf("store among %d: %d found, %v, want any: %t", len(tt.stores), len(p.Items), err, tt.found)
			}
		}
	})
}

// A query selects single images besides those of its stores, each once and in order.
func TestSingleImages(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		stores := []string{putStore(t, c, "/a"), putStore(t, c, "/b"), putStore(t, c, "/c")}
		fill(t, c, stores, 120)
		single := []string{"no such id"}
		for i, im := range everyPage(t, c, catalog.Query{Labels: true}) {
			if i%7 == 0 {
				single = append(single, im.ID)
			}
		}
		for _, store := range []string{"", stores[0], stores[1]} {
			for _, sort := range []catalog.Sort{catalog.SortCreated, catalog.SortName, catalog.SortSize, catalog.SortState} {
				for _, words := range []string{"", "slide", "sl", "01", "no such"} {
					q := catalog.Query{Store: store, Q: words, Sort: sort, Labels: true, Limit: 1000}
					all := everyPage(t, c, q)
					for i, set := range [][]string{{}, stores[:1], stores} {
						want, got := []string{}, []string{}
						for _, im := range all {
							if slices.Contains(set, im.StoreID) || slices.Contains(single, im.ID) {
								want = append(want, im.ID)
							}
						}
						q.Stores, q.Images, q.Limit = set, single, []int{7, 17, 37}[i] // several pages each
						for _, im := range everyPage(t, c, q) {
							got = append(got, im.ID)
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Fatalf("%d stores, store %q, sort %s, q %q (-want +got):\n%s", len(set), store, sort, words, diff)
						}
					}
				}
			}
		}
	})
}

// A query of more stores than can be merged reads the images of all stores.
func TestImagesOfVeryManyStores(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		var stores []string
		for i := range 90 {
			stores = append(stores, putStore(t, c, fmt.Sprintf("/s%d", i)))
		}
		fill(t, c, stores, 300)
		want := 0
		for _, im := range everyPage(t, c, catalog.Query{Labels: true}) {
			if im.StoreID != stores[7] {
				want++
			}
		}
		some := append(append([]string{}, stores[:7]...), stores[8:]...)
		for _, sort := range []catalog.Sort{catalog.SortCreated, catalog.SortName, catalog.SortState} {
			if got := len(everyPage(t, c, catalog.Query{Labels: true, Sort: sort, Stores: some})); got != want {
				t.Errorf("sort %s: %d found, want %d", sort, got, want)
			}
		}
	})
}

// Listing some stores is as fast as listing one: no page reads the images of other stores.
func TestSomeStoresAreFast(t *testing.T) {
	if !long() {
		t.Skip("among few images everything is fast; PTIFFSTORE_LONG=1 has many")
	}
	n := 1_000_000
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		large, small := putStore(t, c, "/large"), []string{putStore(t, c, "/a"), putStore(t, c, "/b")}
		fill(t, c, small, 200) // the oldest images, so that a list by arrival would read all others
		fill(t, c, []string{large}, n)
		for _, sort := range []catalog.Sort{catalog.SortCreated, catalog.SortName, catalog.SortSize, catalog.SortState} {
			q := catalog.Query{Stores: small, Sort: sort, Labels: true}
			least := time.Hour
			for range 5 {
				began := time.Now()
				if _, err := c.Images.List(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				least = min(least, time.Since(began))
			}
			if least > 20*time.Millisecond {
				t.Errorf("sort %s: a page takes %v", sort, least)
			}
		}
	})
}

// A search finds images that have all of its words, in any order and in any of folder,
// name, label and barcode.
func TestSearchOfSeveralWords(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := putStore(t, c, "/a")
		label := "S26-90148 B1"
		random := rand.New(rand.NewPCG(1, 2))
		for i, name := range []string{"case-7/HE 1.tiff", "case-7/PAS 1.tiff", "case-8/HE 2.tiff"} {
			im := slide(store, i, random)
			im.Path, im.FileName, im.Label, im.Barcode = name, path.Base(name), &label, nil
			put(t, c, im)
		}
		for q, want := range map[string]int{
			"S26-90148 HE": 2, "HE S26-90148": 2, "he": 2, "case-7": 2, "case-7 he": 1, "he case-7 s26": 1, "he pas": 0, "b1 case-8": 1, "S26 nothing": 0,
		} {
			p, err := c.Images.List(t.Context(), catalog.Query{Q: q, Labels: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Items) != want {
				t.Errorf("q %q: %d found, want %d", q, len(p.Items), want)
			}
		}
	})
}
