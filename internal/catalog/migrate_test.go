package catalog

import (
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// A database of the first version, with a slide in it, is migrated to the newest.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"sqlite:" + filepath.Join(t.TempDir(), "catalog.db"), pgtest.New(t)} {
		c, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.db.Dialect(), func(t *testing.T) {
			st, err := c.Stores.Put(t.Context(), Store{Mode: InPlace, Root: "/a"})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Images.Put(t.Context(), []*Image{{StoreID: st.ID, Path: "a.tiff", State: Available, Identity: fsx.Identity{Size: 7}, Description: Description{ExternalID: new("53A1"), Barcode: new("S26-1")}}, {StoreID: st.ID, Path: "b.tiff", State: Available, Description: Description{Barcode: new("S26-2\x00")}}}); err != nil {
				t.Fatal(err)
			}
			for _, q := range []string{
				`DROP TABLE uploads`, `DROP TABLE structures`, `DROP TABLE structure_levels`, `DROP TABLE dicom`, `DROP TABLE packed`, `DROP INDEX images_external_id`, `DROP INDEX images_barcode`, `DROP TABLE cases`, `DROP INDEX images_accession`, `ALTER TABLE images DROP COLUMN accession`, `ALTER TABLE images DROP COLUMN part`, `ALTER TABLE images DROP COLUMN block`, `ALTER TABLE images DROP COLUMN stain`, `UPDATE images SET words = ''`, `ALTER TABLE images DROP COLUMN external_id`, `ALTER TABLE images DROP COLUMN barcode`,
				`ALTER TABLE counts DROP COLUMN bytes`, `DROP INDEX images_unhashed`, `DROP INDEX images_verified`, `DROP TABLE leases`, `DROP TABLE workers`,
				`DELETE FROM goose_db_version WHERE version_id > 1`,
			} {
				if _, err := c.write.ExecContext(t.Context(), q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			first, err := fs.ReadFile(migrations, "migrations/"+c.db.Dialect()+"/00001_catalog.sql")
			if err != nil {
				t.Fatal(err)
			}
			only := tables()
			only.Files = fstest.MapFS{"00001_catalog.sql": {Data: first}}
			if err := c.db.Migrate(t.Context(), only); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if c, err = Open(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			if now, err := c.Stores.Get(t.Context(), st.ID); err != nil || now.Bytes != 7 {
				t.Errorf("bytes of the store: %+v, %v, want 7", now, err)
			}
			for _, q := range []Query{{ExternalID: "53A1", Labels: true}, {Barcode: "S26-1", Labels: true}, {Q: "53a", Labels: true}} {
				if p, err := c.Images.List(t.Context(), q); err != nil || len(p.Items) != 1 {
					t.Errorf("%+v: %v, %v, want the image", q, p, err)
				}
			}
			if list, err := c.Verification.Unhashed(t.Context(), st.ID, 10); err != nil || len(list) != 2 {
				t.Errorf("Unhashed: %d images, %v, want 2", len(list), err)
			}
			if _, err := c.Leases.Acquire(t.Context(), "n", "h", time.Minute); err != nil {
				t.Error(err)
			}
		})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
