package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A report is the new content of docs/benchmarks.md. Sections that were not run keep their
// old text.
type report struct {
	sections map[string]string
	order    []string
}

const reportHead = `# Benchmarks

Made by ` + "`make bench`" + `. Servers take turns within one run, so that a slow minute of the machine affects all of them: compare
the ratios. Figures are medians of the rounds. Each section has its date; do not compare figures of different dates.
`

// newReport reads the report of an earlier run.
func newReport(o *options) (*report, error) {
	r := &report{sections: map[string]string{}, order: []string{"fast", "access", "slow", "render", "thumbnails", "jpeg2000", "mongodb", "dicom", "buckets", "open", "memory", "sync", "catalog", "soak"}}
	b, err := os.ReadFile(o.out)
	if os.IsNotExist(err) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	for _, part := range strings.Split(string(b), "\n<!-- section ")[1:] {
		name, text, ok := strings.Cut(part, " -->\n")
		if ok {
			r.sections[name] = text
		}
	}
	return r, nil
}

func (r *report) write(path string) error {
	var b bytes.Buffer
	b.WriteString(reportHead)
	for _, name := range r.order {
		if text, ok := r.sections[name]; ok {
			fmt.Fprintf(&b, "\n<!-- section %s -->\n%s\n", name, strings.TrimRight(text, "\n"))
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// machine describes the machine of the run.
func machine() string {
	return fmt.Sprintf("%d processors, %s, Linux, %s", runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format("2006-01-02"))
}

func (r *report) fast(o *options, fx *fixture, servers []*server, med []round) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Fast servers\n\nServer pinned to one processor, wrk to the other; level-0 tiles at random (%d of them, mean %.1f KB) of a %d × %d slide, %d connections,\n%d interleaved rounds of %v. %s; nginx %s. All files are in the page cache.\n\n", len(fx.list), float64(fx.mean)/1000, o.width, o.height, o.conns, o.rounds, o.duration, machine(), versionOf("nginx", "-v"))
	b.WriteString("| server | req/s | to nginx | to bare handler | p99 | server CPU, µs a request |\n|---|---|---|---|---|---|\n")
	for i, s := range servers {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.1f ms | %.1f |\n", s.name, thousands(med[i].rate), med[i].rate/med[0].rate, med[i].rate/med[1].rate, float64(med[i].p99.Microseconds())/1000, med[i].cpu)
	}
	b.WriteString("\nThe bare handler is thirty lines of net/http around one pread: it checks neither access nor the identity of the file.\n")
	r.sections["fast"] = b.String()
}

func (r *report) slow(servers []*server, med []round, _ string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Servers that decode\n\nNo process is pinned, all servers use both processors, 8 connections, the same tiles. %s.\n\n", machine())
	b.WriteString("| server | req/s | factor of ptiffstore | p99 | server CPU, µs a request |\n|---|---|---|---|---|\n")
	for i, s := range servers {
		fmt.Fprintf(&b, "| %s | %s | %.0f | %.1f ms | %.0f |\n", s.name, thousands(med[i].rate), med[0].rate/med[i].rate, float64(med[i].p99.Microseconds())/1000, med[i].cpu)
	}
	r.sections["slow"] = b.String()
}

func (r *report) openings(all []opening) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## First tile of a slide that was not open before\n\nOpen, directories, description, table, tile; page cache warm, without HTTP. %s.\n\n", machine())
	b.WriteString("| slide | description | median | slowest of 49 |\n|---|---|---|---|\n")
	for _, o := range all {
		d := "usual"
		if o.description > 0 {
			d = fmt.Sprintf("%d KB", o.description/1000)
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f ms | %.2f ms |\n", o.what, d, float64(o.median.Microseconds())/1000, float64(o.max.Microseconds())/1000)
	}
	r.sections["open"] = b.String()
}

func (r *report) memory(slides, touches int, loaded, now, peak int64) {
	mb := func(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/(1<<20)) }
	r.sections["memory"] = fmt.Sprintf("## Memory\n\n`serve` with %s slides of 20,000 × 15,000 px, a tile of a random slide requested %s times: resident memory\n%s once all were cataloged, %s after the last tile, %s at most. %s.\n",
		thousands(float64(slides)), thousands(float64(touches)), mb(loaded), mb(now), mb(peak), machine())
}

func (r *report) sync(s *syncing, h hashRate) {
	pass, find := median(s.Passes), median(s.Finds)
	whole := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", ms(d)) }
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Synchronisation\n\nA folder of %s small slides, on SQLite; medians of %d turns. %s.\n\n", thousands(float64(s.Files)), len(s.Passes), machine())
	b.WriteString("| work | figure |\n|---|---|\n")
	fmt.Fprintf(&b, "| first scan: all files are new | %s slides a second |\n", thousands(float64(s.Files)/s.Import.Seconds()))
	fmt.Fprintf(&b, "| `find -printf` of name, size and time | %s |\n", whole(find))
	fmt.Fprintf(&b, "| scan without changes | %s, %.2f times find |\n", whole(pass), pass.Seconds()/find.Seconds())
	fmt.Fprintf(&b, "| maximum memory, first scan / without changes | %.0f MB / %.0f MB |\n", float64(s.ImportResident)/(1<<20), float64(s.Resident)/(1<<20))
	fmt.Fprintf(&b, "| SHA-256 of a file of 1 GB, in the page cache | %.2f GB/s, %.2f times a loop of read and hash |\n", h.ours/1e9, h.ours/h.plain)
	r.sections["sync"] = b.String()
}

func (r *report) catalog(o *options, times int, list []*listed) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Catalog\n\n%s images in three stores, two thirds of them in the first; pages of 50, each query run %d times, every time for the next\npage. Milliseconds, median and 99 of 100, with all fields of each image. %s.\n\n", thousands(float64(o.images)), times, machine())
	fmt.Fprint(&b, "| |")
	for _, l := range list {
		fmt.Fprintf(&b, " %s, median | p99 |", l.name)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", 2*len(list)))
	for i := range questions {
		fmt.Fprintf(&b, "| %s |", questions[i].words)
		for _, l := range list {
			fmt.Fprintf(&b, " %.2f | %.2f |", l.p50[i].Seconds()*1e3, l.p99[i].Seconds()*1e3)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, l := range list {
		fmt.Fprintf(&b, "%s took %s images a second, and then holds %.1f KB an image. ", l.name, thousands(l.rate), l.size/float64(o.images)/1000)
	}
	b.WriteString("\n")
	r.sections["catalog"] = b.String()
}

// thousands formats a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func versionOf(name, arg string) string {
	out, _ := exec.Command(name, arg).CombinedOutput()
	return versionNumber.FindString(string(out))
}
