package scan

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// killed is the environment variable that holds the catalog's URL and the store's id
// for a process that is going to be killed.
const killed = "PTIFFSTORE_TEST_KILLED"

// impatient returns a syncer without waiting times.
func impatient(c *catalog.Catalog) *Syncer {
	return &Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler), Pause: time.Nanosecond, Settle: time.Nanosecond}
}

// TestKilled kills processes that import and sync with SIGKILL, at random moments, and
// expects the next scans to give the same result as without interruption. It can't test
// whether writes survive a loss of power.
func TestKilled(t *testing.T) {
	t.Parallel()
	if v := os.Getenv(killed); v != "" {
		beKilled(t, v)
		return
	}
	times := 7 // of each
	if os.Getenv("PTIFFSTORE_LONG") != "" {
		times = 70
	}
	t.Run("in place", func(t *testing.T) { t.Parallel(); killInPlace(t, times) })
	t.Run("one disk", func(t *testing.T) { t.Parallel(); killManaged(t, newHouse(t, "", ""), times) })
	t.Run("two disks", func(t *testing.T) { t.Parallel(); killManaged(t, newHouse(t, "", otherDisk(t)), times) })
}

// beKilled scans a store until it is killed.
func beKilled(t *testing.T, v string) {
	url, store, _ := strings.Cut(v, " ")
	c, err := catalog.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	s := impatient(c)
	fmt.Println("ready")
	for i := 0; ; i++ {
		r, err := s.Sync(context.Background(), store, Options{Import: true, Resync: i%3 == 2})
		if err != nil {
			fmt.Println("error:", err)
		}
		for _, f := range r.Failed {
			if strings.HasPrefix(f.Reason, "image ") {
				fmt.Println("error:", f)
			}
		}
	}
}

// kill starts a process that works on a store, and kills it after a while. It returns
// the errors of the process.
func kill(t *testing.T, url, store string) (failures []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
	cmd.Env = append(os.Environ(), killed+"="+url+" "+store)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			time.AfterFunc(time.Duration(rand.Int64N(int64(250*time.Millisecond))), func() { cmd.Process.Kill() })
		} else if rest, ok := strings.CutPrefix(lines.Text(), "error: "); ok {
			failures = append(failures, rest)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	return failures
}

// A whole is the image record of some bytes, without what depends on the order of
// imports.
type whole struct {
	State catalog.State
	Names []string
}

// byDigest returns the images of a store by digest, and those without one by path, with
// ids in paths left out; and their ids by the same keys.
func (h *house) byDigest() (map[string]whole, map[string]string) {
	h.t.Helper()
	m, ids := map[string]whole{}, map[string]string{}
	for _, im := range h.images() {
		key := strings.ReplaceAll(im.Path, im.ID, "ID")
		if im.Digest != nil {
			key = *im.Digest
		}
		if catalog.IsSeries(im.Path) {
			key = im.Path // files are added, and change the digest
		}
		if strings.HasPrefix(im.Path, managed.Staging) || strings.HasPrefix(im.Path, managed.Incoming) {
			key = im.Path // being imported, possibly a duplicate
		}
		ids[key] = im.ID
		if _, twice := m[key]; twice {
			h.t.Errorf("two images have the digest or path %s: %s, %s %q missing %v", key, ids[key], im.ID, im.Path, im.MissingSince)
		}
		names := append([]string{im.FileName}, im.Aliases...)
		slices.Sort(names)
		m[key] = whole{im.State, names}
	}
	return m, ids
}

// deliver has files arrive: slides, duplicates and broken ones; a series without its last file;
// and the last two files of the series of the round before, one of them for the second time.
func deliver(h *house, round int) {
	h.deliverSeries(round, 0, 1)
	if round > 0 {
		h.deliverSeries(round-1, 1, 2)
	}
	for i := range 12 {
		p := slidetest.Pyramid{Seed: uint8(round*8 + i)} // four are the same as in the next round
		data := p.Bytes()
		if i == 11 {
			data = append(data[:6000], byte(round))
		}
		name := fmt.Sprintf("r%d/%d-%d.tiff", round, round, i)
		tmp := filepath.Join(h.in, ".tmp")
		if err := errors.Join(os.WriteFile(tmp, data, 0o644), os.MkdirAll(filepath.Join(h.in, filepath.Dir(name)), 0o755)); err != nil {
			h.t.Fatal(err)
		}
		h.rename(tmp, filepath.Join(h.in, name))
	}
}

// deliverSeries has files of the series of a round arrive.
func (h *house) deliverSeries(round int, list ...int) {
	uid := fmt.Sprintf("1.1%d", round)
	files := dicomtest.Series(h.t, uid, slidetest.Pyramid{Seed: uint8(100 + round)})
	for _, i := range list {
		tmp, dir := filepath.Join(h.in, ".tmp"), filepath.Join(h.in, uid)
		if err := errors.Join(os.WriteFile(tmp, files[i], 0o644), os.MkdirAll(dir, 0o755)); err != nil {
			h.t.Fatal(err)
		}
		h.rename(tmp, filepath.Join(dir, fmt.Sprintf("%d of %d.dcm", i, len(list)*10+list[0])))
	}
}

func killManaged(t *testing.T, h *house, times int) {
	url := "sqlite:" + filepath.Join(filepath.Dir(h.root), "catalog.db")
	ids := map[string]string{}
	for round := range times {
		deliver(h, round)
		for _, failure := range kill(t, url, h.store) {
			t.Errorf("round %d: %s", round, failure)
		}
		_, now := h.byDigest()
		for digest, id := range ids {
			if was, ok := now[digest]; len(digest) == 64 && was != id || ok && was != id {
				t.Errorf("round %d: image %s is now %q, want its id kept", round, id, was)
			}
		}
		ids = now
	}
	h.Syncer = impatient(h.Catalog)
	for range 3 {
		h.scan(Options{Import: true})
	}
	if r := h.scan(Options{}); r.changed() {
		t.Errorf("the scan after the last: %+v, want nothing", r)
	}

	undisturbed := newHouse(t, "", "")
	undisturbed.Syncer = impatient(undisturbed.Catalog)
	for round := range times {
		deliver(undisturbed, round)
		undisturbed.scan(Options{Import: true})
	}
	for range 2 {
		undisturbed.scan(Options{Import: true})
	}
	want, _ := undisturbed.byDigest()
	got, _ := h.byDigest()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-undisturbed +got):\n%s", diff)
	}
	passing := func(p string) bool {
		return strings.HasPrefix(p, managed.Trash) || strings.HasPrefix(p, managed.Staging+".")
	}
	wantFiles, gotFiles := undisturbed.files(), h.files()
	more := len(gotFiles) - len(wantFiles)
	if diff := cmp.Diff(slices.DeleteFunc(wantFiles, passing), slices.DeleteFunc(gotFiles, passing)); diff != "" || more < 0 {
		t.Errorf("files (%d more; -undisturbed +got):\n%s", more, diff)
	}
	for _, p := range gotFiles {
		if d := managed.DigestIn(p); d != "" && digestOf(readAll(t, filepath.Join(h.root, p))) != d {
			t.Errorf("%s has other bytes", p)
		}
	}
	left, err := os.ReadDir(filepath.Join(h.root, managed.Staging))
	left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) // they are swept later
	if err != nil || len(left) > 0 {
		t.Errorf("left in staging: %v, %v", left, err)
	}
}

func killInPlace(t *testing.T, times int) {
	st := newSite(t)
	url := "sqlite:" + filepath.Join(filepath.Dir(st.root), "catalog.db")
	for round := range times {
		for i := range 10 {
			st.rename(st.outside("x", slidetest.Pyramid{Seed: uint8(round + i)}.Bytes()), st.path(fmt.Sprintf("%d.tiff", 7*round+i)))
		}
		if round > 0 {
			st.remove(fmt.Sprintf("%d.tiff", 7*round+3))
			st.rename(st.path(fmt.Sprintf("%d.tiff", 7*round+4)), st.path(fmt.Sprintf("m%d.tiff", round)))
			st.write(fmt.Sprintf("%d.tiff", 7*round+5), slidetest.Pyramid{}.Bytes()[:5000])
		}
		for _, failure := range kill(t, url, st.store) {
			t.Errorf("round %d: %s", round, failure)
		}
	}
	st.Syncer = impatient(st.Catalog)
	st.scan(Options{})
	if r := st.scan(Options{}); r.changed() {
		t.Errorf("the scan after the last: %+v, want nothing", r)
	}
	got := st.states()
	for path, state := range got {
		if state == catalog.Missing {
			delete(got, path)
		}
	}
	if err := st.Catalog.Stores.Delete(t.Context(), st.store); err != nil {
		t.Fatal(err)
	}
	put, err := st.Catalog.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: st.root})
	if err != nil {
		t.Fatal(err)
	}
	st.store = put.ID
	st.scan(Options{})
	if diff := cmp.Diff(st.states(), got); diff != "" {
		t.Errorf("states (-undisturbed +got):\n%s", diff)
	}
}
