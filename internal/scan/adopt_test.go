package scan

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// adopting is the environment variable with the URL of the catalog and the ids of two
// stores, for a process that is going to be killed.
const adopting = "PTIFFSTORE_TEST_ADOPTING"

// copyOf is an adoption with a file that has the bytes of the image's former one, and its id.
func copyOf(root string) managed.Adoption {
	return managed.Adoption{Write: func(_ context.Context, im *catalog.Image, f *os.File) (string, error) {
		b, err := os.ReadFile(filepath.Join(root, im.Path))
		if err != nil {
			return "", err
		}
		b = append(b, im.ID...)
		sum := sha256.Sum256(b)
		_, err = f.Write(b)
		return hex.EncodeToString(sum[:]), err
	}}
}

// adoptAll moves all images of a store into another one.
func adoptAll(ctx context.Context, s *Syncer, from, to string) error {
	a, errA := s.Catalog.Stores.Get(ctx, from)
	b, errB := s.Catalog.Stores.Get(ctx, to)
	if errA != nil || errB != nil {
		return errors.Join(errA, errB)
	}
	var ids []string
	if err := s.Catalog.Images.Each(ctx, from, func(im *catalog.Image) error {
		ids = append(ids, im.ID)
		return nil
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.Adopt(ctx, id, from, b, copyOf(a.Root)); err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, managed.ErrNotReady) {
			return err
		}
	}
	return nil
}

// TestAdopt moves images into a managed store: they keep their ids, and neither store loses
// or doubles one. What an interrupted move leaves in staging is removed.
func TestAdopt(t *testing.T) {
	t.Parallel()
	h, from, folder := newAdoption(t, 3)
	before := imagesOf(t, h.Catalog, from)
	if err := adoptAll(t.Context(), h.Syncer, from, h.store); err != nil {
		t.Fatal(err)
	}
	adopted(t, h, from, folder, before)
	broken := errors.New("broken")
	if err := os.WriteFile(filepath.Join(folder, "late.tiff"), slidetest.Pyramid{Seed: 99}.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Syncer = impatient(h.Catalog)
	for range 2 {
		if _, err := h.Sync(t.Context(), from, Options{Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	late := imagesOf(t, h.Catalog, from)
	if len(late) != 1 {
		t.Fatalf("%d images in the former store, want 1", len(late))
	}
	st, err := h.Catalog.Stores.Get(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	for id := range late {
		a := copyOf(folder)
		a.Change = func(*catalog.Image) error { return broken }
		if _, err := h.Adopt(t.Context(), id, from, st, a); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		if _, err := os.Stat(filepath.Join(h.root, managed.Staging, id+".tiff")); err != nil {
			t.Errorf("the file of an undecided move: %v", err)
		}
		h.scan(Options{})
		if _, err := os.Stat(filepath.Join(h.root, managed.Staging, id+".tiff")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file of a failed move is still there: %v", err)
		}
		if im, err := h.Catalog.Images.Get(t.Context(), id); err != nil || im.StoreID != from {
			t.Errorf("the image is not in its store: %v", err)
		}
	}
}

// TestAdoptKilled kills a process that moves images with SIGKILL, at random moments.
func TestAdoptKilled(t *testing.T) {
	t.Parallel()
	if v := os.Getenv(adopting); v != "" {
		fields := strings.Fields(v)
		c, err := catalog.Open(context.Background(), fields[0])
		if err != nil {
			t.Fatal(err)
		}
		s := impatient(c)
		fmt.Println("ready")
		for {
			if err := adoptAll(context.Background(), s, fields[1], fields[2]); err != nil {
				fmt.Println("error:", err)
			}
			for _, store := range fields[1:] {
				if _, err := s.Sync(context.Background(), store, Options{Import: true}); err != nil {
					fmt.Println("error:", err)
				}
			}
		}
	}
	h, from, folder := newAdoption(t, 40)
	before := imagesOf(t, h.Catalog, from)
	url := "sqlite:" + filepath.Join(filepath.Dir(h.root), "catalog.db")
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAdoptKilled$", "-test.v")
		cmd.Env = append(os.Environ(), adopting+"="+url+" "+from+" "+h.store)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "ready" {
				time.AfterFunc(time.Duration(rand.Int64N(int64(250*time.Millisecond))), func() { cmd.Process.Kill() })
			} else if strings.HasPrefix(lines.Text(), "error: ") {
				t.Error(lines.Text())
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the process ended by itself")
		}
		if n := len(imagesOf(t, h.Catalog, from)) + len(imagesOf(t, h.Catalog, h.store)); n != len(before) {
			t.Errorf("%d images, want %d", n, len(before))
		}
	}
	h.Syncer = impatient(h.Catalog)
	if err := adoptAll(t.Context(), h.Syncer, from, h.store); err != nil {
		t.Fatal(err)
	}
	adopted(t, h, from, folder, before)
}

// newAdoption returns a managed store, and an in-place one with slides.
func newAdoption(t *testing.T, slides int) (h *house, from, folder string) {
	t.Helper()
	h = newHouse(t, "", "")
	h.Syncer = impatient(h.Catalog)
	folder = t.TempDir()
	for i := range slides {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.tiff", i)), slidetest.Pyramid{Seed: uint8(i)}.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	st, err := h.Catalog.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: folder})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := h.Sync(t.Context(), st.ID, Options{Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(imagesOf(t, h.Catalog, st.ID)); n != slides {
		t.Fatalf("%d images, want %d", n, slides)
	}
	return h, st.ID, folder
}

// imagesOf returns the images of a store by id.
func imagesOf(t *testing.T, c *catalog.Catalog, store string) map[string]catalog.Image {
	t.Helper()
	list := map[string]catalog.Image{}
	if err := c.Images.Each(t.Context(), store, func(im *catalog.Image) error {
		list[im.ID] = *im
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// adopted checks that all images are in the managed store, each once and with its file, and
// that scans of both stores find nothing to do.
func adopted(t *testing.T, h *house, from, folder string, before map[string]catalog.Image) {
	t.Helper()
	for range 2 {
		h.scan(Options{Import: true})
	}
	r, err := h.Sync(t.Context(), from, Options{Wait: true})
	if err != nil || r.Added+r.Missing+r.Updated > 0 {
		t.Errorf("the scan of the former store: %+v, %v, want nothing", r, err)
	}
	if r := h.scan(Options{}); r.changed() {
		t.Errorf("the scan of the managed store: %+v, want nothing", r)
	}
	if rest := imagesOf(t, h.Catalog, from); len(rest) > 0 {
		t.Errorf("%d images in the former store", len(rest))
	}
	now := imagesOf(t, h.Catalog, h.store)
	if len(now) != len(before) {
		t.Errorf("%d images, want %d", len(now), len(before))
	}
	for id, was := range before {
		im, ok := now[id]
		if !ok || im.State != catalog.Available || im.FileName != was.FileName || len(im.FormerStores) != 1 || im.FormerStores[0] != from || im.Revision == was.Revision {
			t.Errorf("image %s: %+v", id, im)
			continue
		}
		want, err := os.ReadFile(filepath.Join(folder, was.Path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(h.root, im.Path))
		if err != nil || !bytes.Equal(got, append(want, id...)) || managed.DigestIn(im.Path) == "" || *im.Digest != managed.DigestIn(im.Path) {
			t.Errorf("the file of image %s at %s: %d bytes, %v", id, im.Path, len(got), err)
		}
	}
	left, err := os.ReadDir(filepath.Join(h.root, managed.Staging))
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), ".") { // those are swept later
			t.Errorf("left in staging: %s", e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}
