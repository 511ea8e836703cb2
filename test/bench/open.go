package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/slide"
)

// An opening is how long the first tile of a slide takes that was not open before, with the
// file in the page cache.
type opening struct {
	what        string
	description int
	median, max time.Duration
}

// openings measures the time to the first tile of a file in package slide, without HTTP:
// open the file, read the directories, the description, a table and a tile.
func openings(ctx context.Context, o *options, r *report) error {
	var all []opening
	for _, description := range []int{0, 844_000} {
		path := filepath.Join(o.work, fmt.Sprintf("wide-%d.tiff", description))
		if _, err := os.Stat(path); err != nil {
			if err := writeSlide(path, 120_000, 90_000, description); err != nil {
				return err
			}
		}
		var took []time.Duration
		for range 50 {
			d, err := firstTile(path)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		took = took[1:] // the first warmed the page cache
		slices.Sort(took)
		all = append(all, opening{"120,000 × 90,000 px", description, took[len(took)/2], took[len(took)-1]})
	}
	r.openings(all)
	return ctx.Err()
}

func firstTile(path string) (time.Duration, error) {
	began := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		return 0, err
	}
	l := &s.Levels[0]
	_, err = s.AppendTile(nil, 0, l.Columns/2, l.Rows/2)
	if err == slide.ErrEmptyTile {
		err = nil
	}
	return time.Since(began), err
}

// manySlides requests tiles of 10,000 random slides and measures the server's memory. The
// slides are hard links to a few files, but each is opened separately.
func manySlides(ctx context.Context, o *options, r *report) error {
	const slides, touches = 10_000, 20_000
	folder := filepath.Join(o.work, "many")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	first := filepath.Join(o.work, "one.tiff")
	if _, err := os.Stat(first); err != nil {
		if err := writeSlide(first, 20_000, 15_000, 0); err != nil {
			return err
		}
	}
	for i := range slides {
		p := filepath.Join(folder, fmt.Sprintf("%02d", i%100), fmt.Sprintf("s%05d.tiff", i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.Link(first, p); err != nil && !os.IsExist(err) {
			return err
		}
	}
	s, err := start(ctx, "ptiffstore serve", "", o.bin, "serve", "--data", filepath.Join(o.work, "many-data"), "--listen", "127.0.0.1:0", "--log-level", "error", folder)
	if err != nil {
		return err
	}
	defer s.stop()
	ids, err := allImages(ctx, s.url, slides)
	if err != nil {
		return err
	}
	loaded, _ := residentBytes(s.pids[0])
	seed := uint64(1)
	for range touches {
		seed = seed*6364136223846793005 + 1442695040888963407
		id := ids[seed>>33%uint64(len(ids))]
		resp, err := http.Get(s.url + "api/v1/images/" + id + "/tiles/2/0/0.jpg")
		if err != nil {
			return err
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("image %s: %s", id, resp.Status)
		}
	}
	now, peak := residentBytes(s.pids[0])
	r.memory(slides, touches, loaded, now, peak)
	return nil
}

// allImages waits for n images, and returns their ids.
func allImages(ctx context.Context, base string, n int) ([]string, error) {
	type page struct {
		Items []struct {
			ID    string `json:"id"`
			State string `json:"state"`
		} `json:"items"`
		Next *string `json:"next_cursor"`
	}
	for range 300 {
		var ids []string
		cursor := ""
		for {
			var p page
			if err := getJSON(ctx, base+"api/v1/images?state=available&limit=500&cursor="+cursor, &p); err != nil {
				return nil, err
			}
			for _, im := range p.Items {
				ids = append(ids, im.ID)
			}
			if p.Next == nil {
				break
			}
			cursor = *p.Next
		}
		if len(ids) >= n {
			return ids, nil
		}
		time.Sleep(time.Second)
	}
	return nil, fmt.Errorf("fewer than %d images became available", n)
}
