package catalog_test

import (
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestExternalID follows images, some of which have an external id.
func TestExternalID(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := putStore(t, c, "/slides")
		foreign, hostile := `case "7"/π`, `"ExternalID":"no"`
		err := c.Images.Put(t.Context(), []*catalog.Image{
			{StoreID: store, Path: "a", State: catalog.Available, Description: catalog.Description{ExternalID: &foreign}},
			{StoreID: store, Path: "b", State: catalog.Available},
			{StoreID: store, Path: "c", State: catalog.Available, Description: catalog.Description{Properties: map[string]string{"x": hostile}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := c.Changes.Since(t.Context(), 0, 10)
		if err != nil || len(list) != 3 {
			t.Fatalf("%d changes, %v", len(list), err)
		}
		for i, want := range []string{foreign, "", ""} {
			if list[i].ExternalID != want {
				t.Errorf("image %d has external id %q, want %q", i, list[i].ExternalID, want)
			}
		}
		if err := c.Images.Drop(t.Context(), list[0].ID); err != nil {
			t.Fatal(err)
		}
		gone, err := c.Changes.Since(t.Context(), list[2].Seq, 10)
		if err != nil || len(gone) != 1 || gone[0].ExternalID != "" || !gone[0].Gone {
			t.Errorf("after it was dropped: %+v, %v", gone, err)
		}
	})
}

// A query by barcode finds the images that have exactly this one, also together with an external
// id, and only for callers who may see labels.
func TestQueryBarcode(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		a := putStore(t, c, "/a")
		one, two, long, zero, id := "S26-1;A1", "s26-1;a1", strings.Repeat("ü", 251), "S26\x00", "7"
		images := []*catalog.Image{
			{StoreID: a, Path: "1", State: catalog.Available, Description: catalog.Description{FileName: "1", Barcode: &one}},
			{StoreID: a, Path: "2", State: catalog.Available, Description: catalog.Description{FileName: "2", Barcode: &one, ExternalID: &id}},
			{StoreID: a, Path: "3", State: catalog.Available, Description: catalog.Description{FileName: "3", Barcode: &two, ExternalID: &id}},
			{StoreID: a, Path: "4", State: catalog.Available, Description: catalog.Description{FileName: "4", Barcode: &long}},
			{StoreID: a, Path: "5", State: catalog.Available, Description: catalog.Description{FileName: "5", Barcode: &zero}},
			{StoreID: a, Path: "6", State: catalog.Available, Description: catalog.Description{FileName: "6"}},
		}
		if err := c.Images.Put(t.Context(), images); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			q    catalog.Query
			want string // file names
		}{
			{"exactly", catalog.Query{Barcode: one, Labels: true}, "21"},
			{"in its case", catalog.Query{Barcode: two, Labels: true}, "3"},
			{"a part", catalog.Query{Barcode: one[:5], Labels: true}, ""},
			{"and an external id", catalog.Query{Barcode: one, ExternalID: id, Labels: true}, "2"},
			{"by name", catalog.Query{Barcode: one, Sort: catalog.SortName, Labels: true}, "12"},
			{"too long", catalog.Query{Barcode: long, Labels: true}, ""},
			{"with a zero byte", catalog.Query{Barcode: zero, Labels: true}, "5"},
			{"without the right to labels", catalog.Query{Barcode: one}, ""},
		} {
			page, err := c.Images.List(t.Context(), tt.q)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			got := ""
			for i := range page.Items {
				got += page.Items[i].FileName
			}
			if got != tt.want {
				t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
			}
		}
		// The barcode follows the record.
		if _, err := c.Images.Update(t.Context(), images[0].ID, func(im *catalog.Image) error { im.Barcode = &two; return nil }); err != nil {
			t.Fatal(err)
		}
		page, err := c.Images.List(t.Context(), catalog.Query{Barcode: two, Labels: true})
		if err != nil || len(page.Items) != 2 {
			t.Errorf("after a change: %d images, %v; want 2", len(page.Items), err)
		}
	})
}

// A query by external id finds the images that have exactly this one, in any order and with
// any page size, within the other conditions of the query.
func TestQueryExternalID(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		a, b := putStore(t, c, "/a"), putStore(t, c, "/b")
		one, two := "5356d8b9e67655244bf3273a", "CASE 7"
		images := []*catalog.Image{
			{StoreID: a, Path: "1", State: catalog.Available, Description: catalog.Description{FileName: "1", ExternalID: &one}},
			{StoreID: a, Path: "2", State: catalog.Broken, Description: catalog.Description{FileName: "2", ExternalID: &one}},
			{StoreID: b, Path: "3", State: catalog.Available, Description: catalog.Description{FileName: "3", ExternalID: &one}},
			{StoreID: b, Path: "4", State: catalog.Available, Description: catalog.Description{FileName: "4", ExternalID: &two}},
			{StoreID: b, Path: "5", State: catalog.Available, Description: catalog.Description{FileName: "5"}},
		}
		if err := c.Images.Put(t.Context(), images); err != nil {
			t.Fatal(err)
		}
		none := []string{}
		for _, tt := range []struct {
			name string
			q    catalog.Query
			want string // file names
		}{
			{"all", catalog.Query{ExternalID: one}, "321"},
			{"by name", catalog.Query{ExternalID: one, Sort: catalog.SortName}, "123"},
			{"by size", catalog.Query{ExternalID: one, Sort: catalog.SortSize}, "123"},
			{"by state", catalog.Query{ExternalID: one, Sort: catalog.SortState}, "231"},
			{"exactly", catalog.Query{ExternalID: one[:23]}, ""},
			{"in its case", catalog.Query{ExternalID: "case 7"}, ""},
			{"the other", catalog.Query{ExternalID: two}, "4"},
			{"of a store", catalog.Query{ExternalID: one, Store: b}, "3"},
			{"in a state", catalog.Query{ExternalID: one, State: catalog.Available}, "31"},
			{"with words", catalog.Query{ExternalID: one, Q: "2"}, "2"},
			{"of some stores", catalog.Query{ExternalID: one, Stores: []string{a}}, "21"},
			{"of no store", catalog.Query{ExternalID: one, Stores: none}, ""},
			{"of a store and an image", catalog.Query{ExternalID: one, Stores: []string{b}, Images: []string{images[0].ID}}, "31"},
			{"of an image", catalog.Query{ExternalID: one, Stores: none, Images: []string{images[1].ID, images[3].ID}}, "2"},
			{"search finds no other", catalog.Query{Q: "24bf33"}, ""},
			{"search finds it", catalog.Query{Q: "244BF32"}, "321"},
		} {
			for _, limit := range []int{1, 50} {
				q := tt.q
				q.Limit, q.Labels = limit, true
				got := ""
				for _, im := range everyPage(t, c, q) {
					got += im.FileName
				}
				if got != tt.want {
					t.Errorf("%s, %d a page: images %q, want %q", tt.name, limit, got, tt.want)
				}
			}
			q := tt.q
			q.Labels = false
			if found := everyPage(t, c, q); q.ExternalID != "" && len(found) > 0 {
				t.Errorf("%s, without the right to labels: %d images", tt.name, len(found))
			}
		}
		if _, err := c.Images.Update(t.Context(), images[0].ID, func(im *catalog.Image) error { im.ExternalID = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		if p, err := c.Images.List(t.Context(), catalog.Query{ExternalID: one, Labels: true}); err != nil || len(p.Items) != 2 {
			t.Errorf("after one was removed: %v, %v", p, err)
		}
	})
}
