package catalog_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// structureOf returns a structure of a revision.
func structureOf(revision string, levels int) *catalog.Structure {
	s := &catalog.Structure{Revision: revision, Format: 1, Token: []byte("token"), Record: bytes.Repeat([]byte{0, 1, 0xff}, 1000)}
	for i := range levels {
		s.Levels = append(s.Levels, bytes.Repeat([]byte{byte(i)}, 100*(i+1)))
	}
	return s
}

// TestStructures stores structures: each is of one revision and format of an image, and goes with
// it.
func TestStructures(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/slides")
		im := &catalog.Image{StoreID: store, Path: "a", Revision: "r1", State: catalog.Available}
		if err := c.Images.Put(ctx, []*catalog.Image{im}); err != nil {
			t.Fatal(err)
		}
		absent := func(id, revision string, format int) {
			t.Helper()
			if _, err := c.Structures.Get(ctx, id, revision, format); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("structure of %s %d: %v", revision, format, err)
			}
			if b, err := c.Structures.Level(ctx, id, revision, format, 0); b != nil || err != nil {
				t.Errorf("level of %s %d: %d bytes, %v", revision, format, len(b), err)
			}
		}
		absent(im.ID, "r1", 1)
		for _, levels := range []int{3, 2} { // the second one replaces the first
			want := structureOf("r1", levels)
			if err := c.Structures.Put(ctx, im.ID, want); err != nil {
				t.Fatal(err)
			}
			got, err := c.Structures.Get(ctx, im.ID, "r1", 1)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				b, err := c.Structures.Level(ctx, im.ID, "r1", 1, i)
				if err != nil {
					t.Fatal(err)
				}
				if b != nil {
					got.Levels = append(got.Levels, b)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		absent(im.ID, "r2", 1)
		absent(im.ID, "r1", 2)
		absent("other", "r1", 1)
		if err := c.Structures.Put(ctx, im.ID, structureOf("r2", 1)); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("of another revision: %v", err)
		}
		if err := c.Structures.Put(ctx, im.ID, &catalog.Structure{Revision: "r1", Record: make([]byte, 65<<20)}); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("too large: %v", err)
		}
		if err := c.Structures.Remove(ctx, im.ID); err != nil {
			t.Error(err)
		}
		absent(im.ID, "r1", 1)

		if err := c.Structures.Put(ctx, im.ID, structureOf("r1", 2)); err != nil {
			t.Fatal(err)
		}
		if err := c.Images.Drop(ctx, im.ID); err != nil {
			t.Fatal(err)
		}
		if n := count(t, c, "structures") + count(t, c, "structure_levels"); n != 0 {
			t.Errorf("%d rows are left of an image that was removed", n)
		}
	})
}

func count(t *testing.T, c *catalog.Catalog, table string) (n int) {
	t.Helper()
	if err := c.DB().Read.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTrimStructures removes the structures that were not used for longest, and those without
// an image.
func TestTrimStructures(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/slides")
		var images []*catalog.Image
		for i := range 10 {
			images = append(images, &catalog.Image{StoreID: store, Path: fmt.Sprint(i), Revision: "r", State: catalog.Available})
		}
		if err := c.Images.Put(ctx, images); err != nil {
			t.Fatal(err)
		}
		for _, im := range images {
			if err := c.Structures.Put(ctx, im.ID, structureOf("r", 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.DB().Write.ExecContext(ctx, `INSERT INTO structures (image, revision, format, bytes, used_at, token, record) SELECT 1000 + image, revision, format, bytes, used_at, token, record FROM structures`); err != nil {
			t.Fatal(err)
		}
		day := 24 * time.Hour
		// The first was used a year ago, the second one yesterday.
		for i, ago := range []time.Duration{365 * day, day + time.Hour} {
			if _, err := c.DB().Write.ExecContext(ctx, `UPDATE structures SET used_at = used_at - $1 WHERE image = (SELECT n FROM images WHERE id = $2)`, ago.Microseconds(), images[i].ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Structures.Trim(ctx, 1<<30, 180*day); err != nil {
			t.Fatal(err)
		}
		if n := count(t, c, "structures"); n != 9 {
			t.Errorf("%d structures are left, want those of 9 images", n)
		}
		if _, err := c.Structures.Get(ctx, images[1].ID, "r", 1); err != nil { // which is used now
			t.Error(err)
		}
		const each = 3000 + 5 + 100
		if err := c.Structures.Trim(ctx, 4*each, 180*day); err != nil {
			t.Fatal(err)
		}
		if n, levels := count(t, c, "structures"), count(t, c, "structure_levels"); n != 4 || levels != 4 {
			t.Errorf("%d structures and %d levels are left, want 4", n, levels)
		}
		if _, err := c.Structures.Get(ctx, images[1].ID, "r", 1); err != nil {
			t.Errorf("the one that was used last: %v", err)
		}
	})
}
