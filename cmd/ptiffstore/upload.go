package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

type uploadCmd struct {
	Files []string `arg:"" help:"Files to upload."`
	To    string   `default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the server."`
	Store string   `placeholder:"STORE" help:"Id or label of the managed store. Can be omitted if there is only one."`
	tokenFlags
	Parallel int           `default:"2" help:"Number of files to upload at once."`
	Wait     time.Duration `default:"5m" placeholder:"TIME" help:"How long to wait for the server to inspect each file; 0s to not wait."`
	Retry    time.Duration `default:"1h" placeholder:"TIME" help:"How long to retry while the server is unreachable or full."`
	State    string        `name:"state-dir" type:"path" placeholder:"DIR" help:"Folder that records uploads in progress. Default: in the user's cache directory."`
	JSON     bool          `help:"Print JSON."`
}

func (*uploadCmd) Help() string {
	return "To resume an interrupted upload, run the command again. The SHA-256 of each file is checked by the server.\n\nExit codes: 0 all files are available slides · 1 a file was not accepted · 2 a file was accepted but is broken or not a supported slide · 64 wrong usage.\n\nExample:\n\n  ptiffstore upload *.tiff --to https://slides.example.org --store archive"
}

// An uploaded is the result of uploading a file.
type uploaded struct {
	File   string  `json:"file"`
	Store  string  `json:"store"`
	Size   *int64  `json:"size"`
	SHA256 *string `json:"sha256"`
	Upload *string `json:"upload"`
	Image  *string `json:"image"`
	State  string  `json:"state"` // of the image; received if it is not known yet; failed
	Reason *string `json:"reason"`
}

// Run uploads the files.
func (c *uploadCmd) Run(ctx context.Context, std streams) error {
	if c.Parallel < 1 {
		return &exitError{exitUsage, errors.New("--parallel must be at least 1")}
	}
	if err := c.tokenFlags.read(std); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	store, err := c.store(ctx)
	if err != nil {
		return err
	}
	meters := newMeters(std.err)
	client.Waiting = meters.waiting
	results := make([]uploaded, len(c.Files))
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(c.Parallel, len(c.Files)) {
		wg.Go(func() {
			for i := range work {
				results[i] = c.one(ctx, client, meters, c.Files[i], store)
			}
		})
	}
	for i := range c.Files {
		work <- i
	}
	close(work)
	wg.Wait()
	meters.wait()
	if err := c.print(std, results); err != nil {
		return err
	}
	return outcome(ctx, results)
}

func (c *uploadCmd) client() (*upload.Client, error) {
	dir := c.State
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no folder for uploads in progress: %w: use --state-dir DIR", err)
		}
		dir = filepath.Join(cache, "ptiffstore", "uploads")
	}
	return &upload.Client{URL: c.server(), Token: c.Token, Dir: dir, MaxRetryTime: c.Retry, Wait: c.Wait}, nil
}

func (c *uploadCmd) server() string { return strings.TrimRight(c.To, "/") }

// store returns the id of the store. Users who may not list stores must give the id.
func (c *uploadCmd) store(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server()+"/api/v1/stores", nil)
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("--to: %w", err)}
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	var list struct {
		Items []struct{ ID, Label, Mode string }
	}
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			return "", c.unauthorized(c.To)
		}
		json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&list) // without a list it must be an id
	}
	var ids []string
	for _, s := range list.Items {
		if s.ID == c.Store {
			return s.ID, nil
		}
		if s.Label == c.Store || c.Store == "" && s.Mode == "managed" {
			ids = append(ids, s.ID)
		}
	}
	switch {
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) > 1:
		return "", &exitError{exitUsage, errors.New("more than one store matches: use --store with one of these ids: " + strings.Join(ids, ", "))}
	case c.Store == "" && err != nil:
		return "", fmt.Errorf("--to %s: %w", c.To, err)
	case c.Store == "":
		return "", &exitError{exitUsage, errors.New("no managed store is visible to this user: use --store with the id of one")}
	case len(list.Items) > 0:
		return "", &exitError{exitUsage, fmt.Errorf("the server has no store %q", c.Store)}
	}
	return c.Store, nil
}

func (c *uploadCmd) one(ctx context.Context, client *upload.Client, meters *meters, path, store string) uploaded {
	r := uploaded{File: path, Store: store}
	m := meters.add(path)
	v, err := client.Send(ctx, path, store, m.progress)
	m.end(err)
	if v != nil {
		r.Size, r.SHA256, r.Upload, r.State, r.Reason = &v.Length, v.SHA256, &v.ID, v.State, v.Reason
		made := v.Conversion != nil && *v.Conversion == "done" // the result is the pyramid, not the image sent
		if v.Verdict != nil && *v.Verdict != "slide" && !made {
			r.State = *v.Verdict
		}
		if made {
			r.Reason = nil
		}
		if v.Image != nil {
			r.Image = &v.Image.ID
			if r.Reason == nil || v.Image.State != "arriving" && v.Conversion == nil {
				r.State, r.Reason = v.Image.State, v.Image.Reason // as on every other page
			}
		}
	}
	if err != nil {
		r.State, r.Reason = "failed", known(c.failure(err))
	}
	return r
}

// failure returns an error as text.
func (c *uploadCmd) failure(err error) string {
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		if e.Status == http.StatusUnauthorized {
			return c.unauthorized(c.To).Error()
		}
		return e.Detail
	}
	if errors.Is(err, context.Canceled) {
		return "interrupted: run the command again to resume"
	}
	return err.Error()
}

func (c *uploadCmd) print(std streams, results []uploaded) error {
	if c.JSON {
		return printJSON(std, map[string]any{"items": results})
	}
	for _, r := range results {
		line := printable(r.File) + ": " + r.State
		if r.Image != nil {
			line += ", image " + *r.Image
		}
		if r.Reason != nil {
			line += ": " + *r.Reason
		}
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}

// outcome returns the exit code for all files.
func outcome(ctx context.Context, results []uploaded) error {
	var failed, bad int
	for _, r := range results {
		switch r.State {
		case "failed", "refused":
			failed++
		case "broken", "unsupported", "quarantined":
			bad++
		}
	}
	switch {
	case ctx.Err() != nil && failed > 0:
		return errors.New("interrupted: run the command again to resume")
	case failed > 0:
		return fmt.Errorf("%d of %d files were not accepted", failed, len(results))
	case bad > 0:
		return &exitError{exitFile, fmt.Errorf("%d of %d files cannot be shown as slides", bad, len(results))}
	}
	return nil
}

// meters show progress bars on a terminal. Elsewhere they only print why an upload waits.
type meters struct {
	bars *mpb.Progress // nil if standard error is not a terminal
	err  io.Writer

	mu   sync.Mutex
	said map[string]string
}

func newMeters(w io.Writer) *meters {
	m := &meters{err: w, said: map[string]string{}}
	if f := terminalOf(w); f != nil {
		m.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	}
	return m
}

func (m *meters) wait() {
	if m.bars != nil {
		m.bars.Wait()
	}
}

// waiting prints why an upload waits, once for each reason.
func (m *meters) waiting(path, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said[path] == why {
		return
	}
	m.said[path] = why
	w := m.err
	if m.bars != nil {
		w = m.bars // above the bars
	}
	fmt.Fprintf(w, "%s: waiting: %s\n", printable(path), why)
}

// A meter is the bar of one file.
type meter struct {
	bars *mpb.Progress
	name string

	mu    sync.Mutex
	bar   *mpb.Bar
	stage atomic.Value // upload.Stage; the bar reads it while mu is held
}

func (m *meters) add(path string) *meter {
	return &meter{bars: m.bars, name: printable(filepath.Base(path))}
}

func (m *meter) progress(stage upload.Stage, done, total int64) {
	if m.bars == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar == nil {
		m.bar = m.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(m.name, decor.WCSyncSpaceR), decor.Any(m.words, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
		)
		m.bar.EnableTriggerComplete()
	}
	if m.stage.Swap(stage) != stage {
		m.bar.DecoratorAverageAdjust(time.Now())
	}
	m.bar.SetCurrent(min(done, total-1)) // a bar that was once full cannot go back
}

func (m *meter) words(decor.Statistics) string {
	stage, _ := m.stage.Load().(upload.Stage)
	return string(stage)
}

func (m *meter) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.bar == nil:
	case err != nil:
		m.bar.Abort(false)
	default:
		m.stage.Store(upload.Stage("done"))
		m.bar.SetTotal(-1, true)
	}
}
