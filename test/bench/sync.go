package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

// syncing is the cost of scans of one folder.
type syncing struct {
	Files          int
	Import         time.Duration // the first scan: every file is new
	Passes         []time.Duration
	Finds          []time.Duration
	Resident       int64 // maximum bytes, during scans
	ImportResident int64
}

// synchronisation fills a folder with small slides, imports it, and scans it again, in turns
// with find. The first scan and the later ones run in separate processes, to measure their
// memory.
func synchronisation(ctx context.Context, o *options, r *report) error {
	folder := filepath.Join(o.work, "tree")
	if err := manyFiles(folder, o.files); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var s syncing
	for range 2 { // the second time the catalog has it, as when a server is restarted
		cmd := exec.CommandContext(ctx, self, "-passes", folder, "-work", o.work)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		if err := json.Unmarshal(out, &s); err != nil {
			return err
		}
	}
	rates, err := hashing(ctx, o)
	if err != nil {
		return err
	}
	r.sync(&s, rates)
	return nil
}

// smallSlide returns a small slide, which it writes to a folder.
func smallSlide(dir string) ([]byte, error) {
	one := filepath.Join(dir, "small.tiff")
	if _, err := (synth.Philips{Width: 600, Height: 400, TileSize: 256, Barcode: "B-1"}).Write(one); err != nil {
		return nil, err
	}
	return os.ReadFile(one)
}

// manyFiles fills folder with n copies of a small slide, a thousand in each folder.
func manyFiles(folder string, n int) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	b, err := smallSlide(filepath.Dir(folder))
	if err != nil {
		return err
	}
	for i := range n {
		dir := filepath.Join(folder, fmt.Sprintf("%03d", i/1000))
		if i%1000 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("slide-%06d.tiff", i)), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// passes runs the scans in the process that [synchronisation] starts.
func passes(ctx context.Context, folder, work string) error {
	c, err := catalog.Open(ctx, "sqlite:"+filepath.Join(work, "tree.db"))
	if err != nil {
		return err
	}
	defer c.Close()
	syncer := &scan.Syncer{Catalog: c}
	if list, err := c.Stores.List(ctx); err != nil {
		return err
	} else if len(list) > 0 {
		return unchanged(ctx, syncer, &list[0])
	}
	st, err := c.Stores.Put(ctx, catalog.Store{Label: "tree", Mode: catalog.InPlace, Root: folder})
	if err != nil {
		return err
	}
	time.Sleep(scan.DefaultPause) // so that the last file has been unchanged for that long
	began := time.Now()
	first, err := syncer.Sync(ctx, st.ID, scan.Options{Wait: true})
	if err != nil {
		return err
	}
	s := syncing{Files: first.Count, Import: time.Since(began)}
	_, s.ImportResident = residentBytes(os.Getpid())
	return json.NewEncoder(os.Stdout).Encode(s)
}

// unchanged scans a folder without changes.
func unchanged(ctx context.Context, syncer *scan.Syncer, st *catalog.Store) error {
	var s struct {
		Passes, Finds []time.Duration
		Resident      int64
	}
	for range 7 {
		took, err := timed(exec.CommandContext(ctx, "find", st.Root, "-type", "f", "-printf", "%p %s %T@\\n").Run)
		if err != nil {
			return fmt.Errorf("find: %w", err)
		}
		s.Finds = append(s.Finds, took)
		var again scan.Result
		took, err = timed(func() error {
			again, err = syncer.Sync(ctx, st.ID, scan.Options{})
			return err
		})
		if err != nil {
			return err
		}
		if again.Updated+again.Missing+again.Added+again.Arriving > 0 {
			return fmt.Errorf("a pass over files that had not changed found %+v", again)
		}
		s.Passes = append(s.Passes, took)
	}
	_, s.Resident = residentBytes(os.Getpid())
	return json.NewEncoder(os.Stdout).Encode(s)
}

func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

// A hashRate is bytes per second.
type hashRate struct{ ours, plain float64 }

// hashing hashes a large file as `ptiffstore verify` does, in turns with a simple loop of
// read and SHA-256.
func hashing(ctx context.Context, o *options) (hashRate, error) {
	path := filepath.Join(o.work, "hash.bin")
	const size = 1 << 30
	if err := os.WriteFile(path, bytes.Repeat([]byte("tissue, and glass. "), size/19), 0o644); err != nil {
		return hashRate{}, err
	}
	defer os.Remove(path)
	var ours, plain []time.Duration
	for range 3 {
		a, err := timed(func() error { return hashOurs(ctx, path) })
		if err != nil {
			return hashRate{}, err
		}
		b, err := timed(func() error { return hashPlain(path) })
		if err != nil {
			return hashRate{}, err
		}
		ours, plain = append(ours, a), append(plain, b)
	}
	return hashRate{size / median(ours).Seconds(), size / median(plain).Seconds()}, nil
}

func hashPlain(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return err
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

func hashOurs(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = verify.Hash(ctx, f, verify.Options{})
	return err
}
