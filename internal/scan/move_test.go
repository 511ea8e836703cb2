package scan

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/s3test"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// A mover moves the slides of a site to a managed store in a bucket.
type mover struct {
	*site
	proxy *s3test.Proxy
	to    *catalog.Store
	open  *bucket.Bucket
}

func newMover(t *testing.T, st *site) *mover {
	t.Helper()
	server := s3test.New(t)
	m := &mover{site: st, proxy: server.Proxy(t)}
	settings := bucket.Settings{Endpoint: m.proxy.URL, PathStyle: true}
	m.Sources = &source.Pool{Bucket: settings}
	t.Cleanup(func() { m.Sources.Close() })
	var err error
	if m.to, err = bucketstore.AddStore(t.Context(), m.Catalog, settings, catalog.Store{Mode: catalog.Managed, Root: "s3://" + server.Bucket(t) + "/a/"}); err != nil {
		t.Fatal(err)
	}
	if m.open, err = bucket.OpenURL(m.to.Root, settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.open.Close)
	return m
}

func (m *mover) move(id string) error {
	m.t.Helper()
	from, err := m.Catalog.Stores.Get(m.t.Context(), m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = m.Move(m.t.Context(), id, from, m.to, nil)
	return err
}

// moved expects an image to be in the bucket, as it was before otherwise.
func (m *mover) moved(was *catalog.Image) *catalog.Image {
	m.t.Helper()
	im, err := m.Catalog.Images.Get(m.t.Context(), was.ID)
	if err != nil {
		m.t.Fatal(err)
	}
	if im.StoreID != m.to.ID || im.Path != bucketstore.Key(im.ID) || im.Revision != was.Revision || im.FileName != was.FileName || im.State != catalog.Available || im.Digest == nil {
		m.t.Errorf("moved: %+v, was %+v", im, was)
	}
	return im
}

// scanBoth scans both stores, which must find nothing to do.
func (m *mover) scanBoth() {
	m.t.Helper()
	for _, store := range []string{m.store, m.to.ID} {
		if r, err := m.Sync(m.t.Context(), store, Options{}); err != nil || r.changed() {
			m.t.Errorf("a scan after the move: %+v, %v", r, err)
		}
	}
}

// TestMoveInPlace moves slides of a scanner's folder, whose files stay and are not found again.
func TestMoveInPlace(t *testing.T) {
	t.Parallel()
	m := newMover(t, newSite(t))
	for i, name := range []string{"a.tiff", "ward/b.tiff", "c.tiff"} {
		m.write(name, slidetest.Pyramid{Seed: uint8(i)}.Bytes())
	}
	m.later(time.Minute)
	m.scan(Options{Wait: true})
	label := "biopsy"
	a, b, c := m.image("a.tiff"), m.image("ward/b.tiff"), m.image("c.tiff")
	if _, err := m.Catalog.Images.Update(t.Context(), b.ID, func(im *catalog.Image) error { im.Label = &label; return nil }); err != nil {
		t.Fatal(err)
	}
	m.proxy.Set(s3test.Fault{Kind: "complete", Status: 403, Code: "AccessDenied"})
	if err := m.move(a.ID); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("without permission: %v", err)
	}
	if im := m.image("a.tiff"); im.StoreID != m.store || im.State != catalog.Available {
		t.Errorf("an image that was not moved: %+v", im)
	}
	m.proxy.Set()
	for _, im := range []*catalog.Image{a, b} {
		if err := m.move(im.ID); err != nil {
			t.Fatal(err)
		}
		m.moved(im)
	}
	if err := m.move(a.ID); err != nil {
		t.Errorf("again: %v", err)
	}
	if im := m.moved(b); im.Label == nil || *im.Label != label || len(im.FormerStores) != 1 {
		t.Errorf("%+v", im)
	}
	m.scanBoth()
	m.write("c.tiff", slidetest.Pyramid{Seed: 9}.Bytes())
	if err := m.move(c.ID); !errors.Is(err, ErrOutdated) {
		t.Errorf("a file that was replaced: %v", err)
	}
	m.later(2 * MovedKept)
	m.scan(Options{Wait: true})
	for _, name := range []string{"a.tiff", "ward/b.tiff"} {
		if _, err := os.Stat(m.path(name)); err != nil {
			t.Errorf("the scanner's file is gone: %v", err)
		}
	}
	if n, err := m.open.Stat(t.Context(), bucketstore.SidecarKey(b.ID)); err != nil || n.Size == 0 {
		t.Errorf("sidecar: %v, %v", n, err)
	}
}

// TestMoveManaged moves a slide of a managed store, whose file is removed some time later, if the
// bucket has the slide.
func TestMoveManaged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	m := newMover(t, h.site)
	h.imported("a.tiff", "b.tiff")
	var list []catalog.Image
	page, err := m.Catalog.Images.List(t.Context(), catalog.Query{Store: m.store, Limit: 10})
	if err != nil || len(page.Items) != 2 {
		t.Fatal(len(page.Items), err)
	}
	list = page.Items
	for i := range list {
		if err := m.move(list[i].ID); err != nil {
			t.Fatal(err)
		}
		m.moved(&list[i])
	}
	m.later(MovedKept - time.Hour)
	m.scanBoth()
	if n := len(h.files()); n != 2 {
		t.Errorf("%d files before the time is over, want 2", n)
	}
	lost := m.moved(&list[1])
	if err := m.open.Delete(t.Context(), lost.Path, must(m.open.Stat(t.Context(), lost.Path))(t)); err != nil {
		t.Fatal(err)
	}
	m.later(2 * time.Hour)
	if r, err := m.Sync(t.Context(), m.store, Options{}); err != nil || len(r.Failed) != 1 || r.Failed[0].Image != lost.ID {
		t.Errorf("with one object lost: %+v, %v", r, err)
	}
	if got := strings.Join(h.files(), " "); strings.Count(got, managed.Slides) != 1 || !strings.Contains(got, *lost.Digest) {
		t.Errorf("files %q, want only that of the lost object", got)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestMoveInterrupted continues a move whose process ended after the object was complete: it is
// not sent again. An object with other bytes is replaced.
func TestMoveInterrupted(t *testing.T) {
	t.Parallel()
	m := newMover(t, newSite(t))
	m.write("a.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	m.write("b.tiff", slidetest.Pyramid{Seed: 2}.Bytes())
	m.later(time.Minute)
	m.scan(Options{Wait: true})
	a, b := m.image("a.tiff"), m.image("b.tiff")
	for _, im := range []*catalog.Image{a, b} {
		if _, err := m.open.Put(t.Context(), bucketstore.Key(im.ID), slidetest.Pyramid{Seed: 1}.Bytes(), bucket.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := m.Sync(t.Context(), m.to.ID, Options{}); err != nil || r.Added != 0 {
		t.Errorf("a scan of the bucket before the switch: %+v, %v", r, err)
	}
	m.proxy.ResetCounts()
	if err := m.move(a.ID); err != nil {
		t.Fatal(err)
	}
	if n := m.proxy.Count("part"); n != 0 {
		t.Errorf("%d parts were sent of an object that was complete", n)
	}
	if err := m.move(b.ID); err != nil {
		t.Fatal(err)
	}
	if im := m.moved(b); *im.Digest == *m.moved(a).Digest {
		t.Error("an object with other bytes was taken for the copy")
	}
	m.scanBoth()
}
