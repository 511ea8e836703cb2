package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slideatlas/ptiffstore/internal/bigtiff"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// frameAccept is the Accept header of dicom-microscopy-viewer.
	frameAccept = `multipart/related; type="application/octet-stream"; transfer-syntax=*`
	// pictureAccept is that of Chromium for pictures.
	pictureAccept = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
	// The slide whose attributes are requested, and which is opened as a series.
	wideWidth, wideHeight = 100_000, 80_000
	orthancPlugin         = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
)

// dicomSlides measures DICOMweb: frames beside tiles of the same server and beside frames of Orthanc,
// the attributes of a large slide, and the opening of a large series.
func dicomSlides(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk", "taskset", "Orthanc"); err != nil {
		return err
	}
	var d dicomReport
	if err := d.measureFrames(ctx, o); err != nil {
		return fmt.Errorf("frames: %w", err)
	}
	path := filepath.Join(o.work, "wide", "wide.tiff")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := writeWide(path); err != nil {
		return err
	}
	if err := d.measureAttributes(ctx, o, filepath.Dir(path)); err != nil {
		return fmt.Errorf("attributes: %w", err)
	}
	if err := d.measureOpening(ctx, o, path); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	r.dicom(o, &d)
	return nil
}

// writeWide writes a large slide of which all tiles of a level are the same bytes.
func writeWide(path string) error {
	const side = 512
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range m.Pix {
		m.Pix[i] = uint8(i / 997) //nolint:gosec // any picture will do
	}
	var tile bytes.Buffer
	if err := jpeg.Encode(&tile, m, nil); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bigtiff.NewWriter(f)
	at, err := w.WriteTile(tile.Bytes())
	if err != nil {
		return err
	}
	for shrink := 1; ; shrink *= 2 {
		l := bigtiff.Level{
			Reduced: shrink > 1, Width: wideWidth / shrink, Height: wideHeight / shrink, TileWidth: side, TileHeight: side,
			Photometric: 6, Components: 3, ChromaX: 2, ChromaY: 2, MPPX: 0.25 * float64(shrink), MPPY: 0.25 * float64(shrink),
		}
		n := (l.Width + side - 1) / side * ((l.Height + side - 1) / side)
		offsets, counts := slices.Repeat([]uint64{uint64(at)}, n), slices.Repeat([]uint32{uint32(tile.Len())}, n) //nolint:gosec // small
		if err := w.Directory(append(l.Fields(), bigtiff.Longs8(tiff.TagTileOffsets, offsets), bigtiff.Longs(tiff.TagTileByteCounts, counts))); err != nil {
			return err
		}
		if n == 1 {
			return w.Finish()
		}
	}
}

// A dicomReport has the figures of the section.
type dicomReport struct {
	frames, mean  int // of the slide: number, and bytes of each
	width, height int
	pinned        [][]round // tiles, frames
	orthanc       string    // version
	beside        [][]round // frames of Orthanc, ours

	first, again     time.Duration // of the attributes
	attributes, gzip int           // bytes
	wideFrames       int
	open, slowest    time.Duration // of the series
	files, megabytes int           // that it has
}

// orthancConns is the number of connections to Orthanc, which reads the complete file for each frame.
const orthancConns = 4

// measureFrames has wrk request tiles, the same tiles as frames, and the same frames of Orthanc. A
// quarter of the area of the other benchmarks is enough.
func (d *dicomReport) measureFrames(ctx context.Context, o *options) error {
	dir := filepath.Join(o.work, "dicom")
	d.width, d.height = o.width/2, o.height/2
	fx, err := prepareIn(dir, synth.Philips{Seed: 42, Width: d.width, Height: d.height, Big: true, Sparse: true, Label: true, Macro: true, Barcode: "B42"})
	if err != nil {
		return err
	}
	d.frames, d.mean = len(fx.list), fx.mean
	tiles, err := fx.serve(ctx, o, o.bin, "tiles", filepath.Join(dir, "data"), "0")
	if err != nil {
		return err
	}
	defer tiles.stop()
	instance, _, err := largestInstance(ctx, tiles.url, fx.id)
	if err != nil {
		return err
	}
	frames := *tiles
	frames.name, frames.accept = "frames", frameAccept
	tiles.name, tiles.accept = "tiles", pictureAccept
	if frames.paths, err = fx.framePaths(o, "frames", instance); err != nil {
		return err
	}
	for range o.rounds {
		one, err := medians(ctx, o, o.conns, "1", 1, []*server{tiles, &frames})
		if err != nil {
			return err
		}
		d.pinned = append(d.pinned, one)
	}
	return d.compareOrthanc(ctx, o, fx, &frames, dir)
}

// compareOrthanc requests the frames of a server, and the same ones of Orthanc, which may use all
// processors.
func (d *dicomReport) compareOrthanc(ctx context.Context, o *options, fx *fixture, ours *server, dir string) error {
	orthanc, err := startOrthanc(ctx, dir)
	if err != nil {
		return err
	}
	defer orthanc.stop()
	orthanc.paths = ours.paths
	files := filepath.Join(dir, "series")
	if out, err := exec.CommandContext(ctx, o.bin, "dicom", "export", fx.slide, files, "--id", fx.id).CombinedOutput(); err != nil {
		return fmt.Errorf("dicom export: %w: %s", err, out)
	}
	if d.orthanc, err = store(ctx, orthanc.url, files); err != nil {
		return err
	}
	for range o.rounds {
		theirs, err := requestFrames(ctx, orthanc, o.duration)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %-36s %9.1f/s  p99 %v\n", orthanc.name, theirs.rate, theirs.p99)
		mine, err := medians(ctx, o, orthancConns, "", 1, []*server{ours})
		if err != nil {
			return err
		}
		d.beside = append(d.beside, append([]round{theirs}, mine...))
	}
	return nil
}

// largestInstance returns the path of the largest level of an image below the address of a server,
// and the number of its frames.
func largestInstance(ctx context.Context, base, image string) (path string, frames int, err error) {
	var list []map[string]struct{ Value []any }
	path = "dicom-web/studies/" + dicom.StudyUID(image) + "/series/" + dicom.SeriesUID(image)
	if err := getJSON(ctx, base+path+"/metadata", &list); err != nil {
		return "", 0, err
	}
	if len(list) == 0 || len(list[0]["00080018"].Value) != 1 || len(list[0]["00280008"].Value) != 1 {
		return "", 0, fmt.Errorf("%s has no instances with frames", path)
	}
	n, _ := list[0]["00280008"].Value[0].(float64)
	return fmt.Sprintf("%s/instances/%v", path, list[0]["00080018"].Value[0]), int(n), nil
}

// framePaths is [fixture.paths] for the frames of the largest level.
func (fx *fixture) framePaths(o *options, name, instance string) (string, error) {
	return fx.paths(o, name, func(x, y string) string {
		col, _ := strconv.Atoi(x)
		row, _ := strconv.Atoi(y)
		return fmt.Sprintf("/%s/frames/%d", instance, row*fx.grid[0]+col+1)
	})
}

// startOrthanc starts Orthanc with its plug-in for DICOMweb.
func startOrthanc(ctx context.Context, dir string) (*server, error) {
	if _, err := os.Stat(orthancPlugin); err != nil {
		return nil, fmt.Errorf("DICOMweb of Orthanc is not installed (Debian: orthanc-dicomweb): %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "orthanc")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"StorageDirectory": folder, "IndexDirectory": folder, "HttpPort": port, "DicomServerEnabled": false, "RemoteAccessAllowed": false,
		"AuthenticationEnabled": false, "Plugins": []string{orthancPlugin}, "DicomWeb": map[string]any{"Enable": true},
		"KeepAlive": true, "MaximumStorageCacheSize": 1024, // MB
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "orthanc.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "Orthanc", path)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: "Orthanc", url: fmt.Sprintf("http://127.0.0.1:%d/", port), accept: frameAccept, pids: []int{cmd.Process.Pid}}
	s.stop = func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }
	if err := waitFor(port); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// requestFrames requests frames over several connections for some time, and then waits for what it has
// requested. It is for slow servers: wrk does not wait.
func requestFrames(ctx context.Context, s *server, duration time.Duration) (round, error) {
	b, err := os.ReadFile(s.paths)
	if err != nil {
		return round{}, err
	}
	paths := strings.Fields(string(b))
	var wg errgroup.Group
	var mu sync.Mutex
	var times []time.Duration
	began := time.Now()
	for i := range orthancConns {
		wg.Go(func() error {
			for n := i; time.Since(began) < duration; n += orthancConns {
				start := time.Now()
				if _, err := bodyBytes(ctx, s.url+paths[n*7919%len(paths)][1:], http.Header{"Accept": {s.accept}}); err != nil {
					return err
				}
				mu.Lock()
				times = append(times, time.Since(start))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := wg.Wait(); err != nil {
		return round{}, err
	}
	spent := time.Since(began)
	slices.Sort(times)
	return round{rate: float64(len(times)) / spent.Seconds(), p99: times[len(times)*99/100]}, nil
}

// store sends the files of a folder to Orthanc, and returns its version.
func store(ctx context.Context, base, dir string) (version string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"instances", bytes.NewReader(b))
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("storing a file in Orthanc: %s %s %w", resp.Status, answer, err)
		}
	}
	var system struct{ Version string }
	err = getJSON(ctx, base+"system", &system)
	return system.Version, err
}

// measureAttributes requests the attributes of the series of a slide that was not open before, and
// again.
func (d *dicomReport) measureAttributes(ctx context.Context, o *options, folder string) error {
	s, err := start(ctx, "ptiffstore serve", "", o.bin, "serve", "--data", filepath.Join(o.work, "wide-data"), "--listen", "127.0.0.1:0", "--log-level", "error", folder)
	if err != nil {
		return err
	}
	defer s.stop()
	var fx fixture
	if _, err := fx.find(ctx, s.url); err != nil {
		return err
	}
	url := s.url + "dicom-web/studies/" + dicom.StudyUID(fx.id) + "/series/" + dicom.SeriesUID(fx.id) + "/metadata"
	var times []time.Duration
	for range 50 {
		began := time.Now()
		if d.attributes, err = bodyBytes(ctx, url, http.Header{"Accept-Encoding": {"identity"}}); err != nil {
			return err
		}
		times = append(times, time.Since(began))
	}
	d.first, d.again = times[0], median(times[1:])
	if d.gzip, err = bodyBytes(ctx, url, http.Header{"Accept-Encoding": {"gzip"}}); err != nil {
		return err
	}
	_, d.wideFrames, err = largestInstance(ctx, s.url, fx.id)
	return err
}

// bodyBytes returns the number of bytes of a response.
func bodyBytes(ctx context.Context, url string, header http.Header) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	r.Header = header
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return int(n), err
}

// measureOpening exports a slide, and opens the series as a server does, up to a tile.
func (d *dicomReport) measureOpening(ctx context.Context, o *options, path string) error {
	root := filepath.Join(o.work, "wide-series")
	if out, err := exec.CommandContext(ctx, o.bin, "dicom", "export", path, filepath.Join(root, "series"), "--id", "wide").CombinedOutput(); err != nil {
		return fmt.Errorf("dicom export: %w: %s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(root, "series", "*.dcm"))
	if err != nil {
		return err
	}
	d.files = len(files)
	size := int64(0)
	for _, f := range files {
		fi, err := os.Stat(f)
		if err != nil {
			return err
		}
		size += fi.Size()
	}
	d.megabytes = int(size / 1e6)
	item := catalog.SeriesPath("series", dicom.SeriesUID("wide"))
	var times []time.Duration
	for range 50 {
		// Headers of files are remembered by their times.
		for _, f := range files {
			now := time.Now()
			if err := os.Chtimes(f, now, now); err != nil {
				return err
			}
		}
		took, err := firstFrame(ctx, root, item)
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	times = times[1:] // the first warmed the page cache
	d.open, d.slowest = median(times), slices.Max(times)
	return nil
}

// firstFrame opens a series that was not open before, and reads a tile.
func firstFrame(ctx context.Context, root, item string) (time.Duration, error) {
	began := time.Now()
	dir, err := source.OpenDirectory(root, "", source.NewFilter(nil, nil))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	s, err := dir.Slide(ctx, item)
	if err != nil {
		return 0, err
	}
	defer s.Close() //nolint:errcheck // only read
	if s.Err != nil {
		return 0, s.Err
	}
	l := &s.Levels[0]
	_, err = s.AppendTile(nil, 0, l.Columns/2, l.Rows/2)
	return time.Since(began), err
}

func (r *report) dicom(o *options, d *dicomReport) {
	var b strings.Builder
	fmt.Fprintf(&b, "## DICOMweb\n\n`go run ./test/bench -only dicom`: the %d tiles of the largest level of a %d × %d slide (mean %.1f KB) at random, and the same ones as frames, with the headers Accept of Chromium and of dicom-microscopy-viewer.\nServer pinned to one processor, wrk to the other; %d connections, %d interleaved rounds of %v. %s. Ratios are medians of the ratios of each round; the goal is 0.95.\n\n",
		d.frames, d.width, d.height, float64(d.mean)/1000, o.conns, o.rounds, o.duration, machine())
	b.WriteString("| route | req/s | to tiles | p99 | server CPU, µs a request |\n|---|---|---|---|---|\n")
	for i, name := range []string{"tiles", "frames"} {
		fmt.Fprintf(&b, "| %s | %s | %.3f | %.1f ms | %.1f |\n", name,
			thousands(middle(d.pinned, func(r []round) float64 { return r[i].rate })),
			middle(d.pinned, func(r []round) float64 { return r[i].rate / r[0].rate }),
			middle(d.pinned, func(r []round) float64 { return ms(r[i].p99) }),
			middle(d.pinned, func(r []round) float64 { return r[i].cpu }))
	}
	fmt.Fprintf(&b, "\nThe same frames of the exported series in Orthanc %s, which may use all processors and reads the complete file for each frame, and of the server as above; %d connections. The goal is 20.\n\n", d.orthanc, orthancConns)
	b.WriteString("| server | req/s | to Orthanc | p99 |\n|---|---|---|---|\n")
	for i, name := range []string{"Orthanc", "ptiffstore"} {
		fmt.Fprintf(&b, "| %s | %s | %.0f | %.1f ms |\n", name,
			rate(middle(d.beside, func(r []round) float64 { return r[i].rate })),
			middle(d.beside, func(r []round) float64 { return r[i].rate / r[0].rate }),
			middle(d.beside, func(r []round) float64 { return ms(r[i].p99) }))
	}
	fmt.Fprintf(&b, "\nA slide of %s × %s pixels, with %s frames in its largest level, page cache warm:\n\n", thousands(wideWidth), thousands(wideHeight), thousands(float64(d.wideFrames)))
	b.WriteString("| | figure | goal |\n|---|---|---|\n")
	fmt.Fprintf(&b, "| attributes of the series, first request | %.1f ms | 20 ms |\n", ms(d.first))
	fmt.Fprintf(&b, "| attributes again, median of 49 | %.2f ms | |\n", ms(d.again))
	fmt.Fprintf(&b, "| bytes of the attributes, and compressed | %.1f KB, %.1f KB | 100 KB |\n", float64(d.attributes)/1000, float64(d.gzip)/1000)
	fmt.Fprintf(&b, "| as a DICOM series of %d files (%d MB): open and read a tile, median and slowest of 49 | %.2f ms, %.2f ms | 5 ms |\n", d.files, d.megabytes, ms(d.open), ms(d.slowest))
	r.sections["dicom"] = b.String()
}
