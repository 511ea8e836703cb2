package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// A managedBucket is a site with a managed store in a bucket.
type managedBucket struct {
	*bucketSite
	settings bucket.Settings
	open     *bucket.Bucket
}

func newManagedBucket(t *testing.T) *managedBucket {
	t.Helper()
	m := &managedBucket{bucketSite: newBucketSite(t)}
	m.settings = m.Sources.Bucket
	if err := m.Catalog.Stores.Delete(t.Context(), m.store); err != nil {
		t.Fatal(err)
	}
	st, err := bucketstore.AddStore(t.Context(), m.Catalog, m.settings, m.newStore())
	if err != nil {
		t.Fatal(err)
	}
	m.store = st.ID
	if m.open, err = bucket.OpenURL(st.Root, m.settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.open.Close)
	return m
}

func (m *managedBucket) newStore() catalog.Store {
	return catalog.Store{Label: "Archive", Mode: catalog.Managed, Root: "s3://" + m.bucket + "/archive/", KeepTrash: time.Hour}
}

// write writes a new object, and returns what is to be received.
func (m *managedBucket) write(name string, data []byte) bucketstore.Arrival {
	m.t.Helper()
	sum := sha256.Sum256(data)
	a := bucketstore.Arrival{Image: catalog.NewID(), FileName: name, Digest: hex.EncodeToString(sum[:])}
	var err error
	if a.Identity, err = m.open.Put(m.t.Context(), bucketstore.Key(a.Image), data, bucket.PutOptions{}); err != nil {
		m.t.Fatal(err)
	}
	return a
}

func (m *managedBucket) receive(a bucketstore.Arrival) string {
	m.t.Helper()
	st, err := m.Catalog.Stores.Get(m.t.Context(), m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := m.Receive(m.t.Context(), st, a)
	if err != nil {
		m.t.Fatal(err)
	}
	return r.Image
}

func (m *managedBucket) get(id string) *catalog.Image {
	m.t.Helper()
	im, err := m.Catalog.Images.GetAny(m.t.Context(), id)
	if err != nil {
		m.t.Fatal(err)
	}
	return im
}

// keys returns the keys of the objects of the store.
func (m *managedBucket) keys() (keys []string) {
	m.t.Helper()
	if err := m.open.List(m.t.Context(), "", func(o bucket.Object) error {
		keys = append(keys, o.Key)
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
	return keys
}

// TestManagedBucket receives, edits, deletes, restores and removes slides of a managed store in a
// bucket. The names of their files are in no key.
func TestManagedBucket(t *testing.T) {
	t.Parallel()
	m := newManagedBucket(t)
	slide := m.write("S26-1 Müller.svs", slidetest.Pyramid{Seed: 1}.Bytes())
	broken := m.write("broken.tiff", slidetest.Pyramid{Seed: 2}.Bytes()[:4000])
	m.receive(slide)
	m.receive(broken)
	m.receive(slide) // again, as after a crash
	im := m.get(slide.Image)
	if im.State != catalog.Available || im.FileName != "S26-1 Müller.svs" || im.Path != bucketstore.Key(im.ID) || im.Digest == nil || *im.Digest != slide.Digest {
		t.Errorf("received: %+v", im)
	}
	if b := m.get(broken.Image); b.State != catalog.Quarantined || b.Reason == "" || b.FileName != "broken.tiff" {
		t.Errorf("broken: %s %q %q", b.State, b.Reason, b.FileName)
	}
	if r := m.scan(Options{}); r.changed() || r.Count != 2 {
		t.Errorf("a scan of what was received: %+v", r)
	}
	copied := m.write("copy.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	if id := m.receive(copied); id != slide.Image {
		t.Errorf("a second copy is %s, want the first, %s", id, slide.Image)
	}
	label := "biopsy"
	if _, err := m.Catalog.Images.Update(t.Context(), slide.Image, func(im *catalog.Image) error { im.Label = &label; return nil }); err != nil {
		t.Fatal(err)
	}
	m.scan(Options{})
	m.later(5 * time.Minute)
	if err := m.Remove(t.Context(), broken.Image); err != nil {
		t.Fatal(err)
	}
	for _, key := range m.keys() {
		if strings.Contains(key, "ller") || strings.Contains(key, "broken") {
			t.Errorf("the key %q contains a file name", key)
		}
	}
	m.rebuild(slide, broken, label)
	if err := m.Remove(t.Context(), slide.Image); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(t.Context(), slide.Image); err != nil {
		t.Fatal(err)
	}
	m.later(2 * time.Hour)
	m.scan(Options{})
	want := []string{managed.MarkerName, bucketstore.SidecarKey(slide.Image), bucketstore.Key(slide.Image)}
	if diff := cmp.Diff(want, m.keys()); diff != "" {
		t.Errorf("objects after the trash was emptied (-want +got):\n%s", diff)
	}
	if _, err := m.Catalog.Images.GetAny(t.Context(), broken.Image); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("the image whose object was removed: %v", err)
	}
	if im := m.get(slide.Image); im.DeletedAt != nil || im.State != catalog.Available {
		t.Errorf("the restored image: %s, deleted %v", im.State, im.DeletedAt)
	}
}

// rebuild replaces the catalog by an empty one: the store gets its id, and its images get theirs,
// with names, labels and deletions.
func (m *managedBucket) rebuild(slide, broken bucketstore.Arrival, label string) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "rebuilt.db")
	c, err := catalog.Open(m.t.Context(), "sqlite:"+path)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	st, err := bucketstore.AddStore(m.t.Context(), c, m.settings, m.newStore())
	if err != nil || st.ID != m.store {
		m.t.Fatalf("the store is %+v, %v, want its former id %s", st, err, m.store)
	}
	if err := m.Catalog.Close(); err != nil {
		m.t.Fatal(err)
	}
	*m.Syncer = Syncer{Catalog: c, Now: m.Now, Sources: m.Sources}
	if r := m.scan(Options{}); r.Added != 1 {
		m.t.Errorf("the scan with an empty catalog: %+v", r)
	}
	if im := m.get(slide.Image); im.FileName != "S26-1 Müller.svs" || im.Label == nil || *im.Label != label || im.Digest == nil || im.State != catalog.Available {
		m.t.Errorf("rebuilt: %+v", im)
	}
	if im := m.get(broken.Image); im.DeletedAt == nil {
		m.t.Error("a deleted image is no longer deleted")
	}
}

// TestManagedBucketMarker refuses parts of a bucket that do not belong to the store, and marks
// nothing missing there.
func TestManagedBucketMarker(t *testing.T) {
	t.Parallel()
	m := newManagedBucket(t)
	a := m.write("a.tiff", slidetest.Pyramid{}.Bytes())
	m.receive(a)
	other := m.newStore()
	other.Root = "s3://" + m.bucket + "/"
	if _, err := bucketstore.AddStore(t.Context(), m.Catalog, m.settings, other); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("a store around the store: %v", err)
	}
	m.put("x.tiff", nil)
	other.Root = "s3://" + m.bucket + "/scanner/"
	if _, err := bucketstore.AddStore(t.Context(), m.Catalog, m.settings, other); !errors.Is(err, bucketstore.ErrNotEmpty) {
		t.Errorf("a store in a part with objects: %v", err)
	}
	stores, err := m.Catalog.Stores.List(t.Context())
	if err != nil || len(stores) != 1 {
		t.Errorf("%d stores, %v, want one", len(stores), err)
	}
	m.server.Remove(t, m.bucket, "archive/"+managed.MarkerName)
	m.server.Remove(t, m.bucket, "archive/"+bucketstore.Key(a.Image))
	if _, err := m.Sync(t.Context(), m.store, Options{Confirm: true}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("without the marker: %v", err)
	}
	if im := m.get(a.Image); im.State != catalog.Available {
		t.Errorf("without the marker the image is %s", im.State)
	}
}

// TestManagedBucketOrphan lists an object whose process ended before it wrote the sidecar: its
// writer has a day to do it.
func TestManagedBucketOrphan(t *testing.T) {
	t.Parallel()
	m := newManagedBucket(t)
	a := m.write("a.tiff", slidetest.Pyramid{}.Bytes())
	if r := m.scan(Options{}); r.Added != 0 {
		t.Errorf("without a sidecar: %+v", r)
	}
	m.later(25 * time.Hour)
	if r := m.scan(Options{}); r.Added != 1 || len(r.Failed) != 1 {
		t.Errorf("without a sidecar after a day: %+v", r)
	}
	if im := m.get(a.Image); im.State != catalog.Available || im.FileName != a.Image+".tiff" {
		t.Errorf("%s %q", im.State, im.FileName)
	}
}
