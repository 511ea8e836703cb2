package catalog_test

import (
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
