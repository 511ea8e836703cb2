// Command gotest reads the events of go test -json and prints a summary: a line for each
// package, the output of failed tests, the reasons of skipped ones, and the counts of each.
//
//	go test -json ./... | go run ./scripts/gotest
//
// If TEST_TIMES is set, it appends the seconds of each package to that file, with the name
// of the suite, which is the optional argument.
//
// It exits with 1 if a test or package failed, or if there were no events.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// An event is one line of go test -json; see go doc cmd/test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that is being built
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

func main() {
	ok, times, err := report(os.Stdout, os.Stdin)
	if file := os.Getenv("TEST_TIMES"); file != "" {
		err = errors.Join(err, addTimes(file, strings.Join(os.Args[1:], " "), times))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// addTimes appends a line for each package to the file: seconds, package, suite.
func addTimes(file, suite string, seconds map[string]float64) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		fmt.Fprintf(f, "%7.1f  %s  %s\n", seconds[name], name, suite)
	}
	return f.Close()
}

// A tally is the state after the events so far.
type tally struct {
	output                   map[[2]string][]string // by package and test, until it ends
	build                    map[string][]string    // by package being built
	skips                    map[string][]string    // tests, by reason
	passed, failed, skipped  int
	packages, failedPackages int
	seconds                  map[string]float64 // by package
}

// report reads all events from r and writes the summary to w. It returns whether all tests
// passed, and the seconds of each package.
func report(w io.Writer, r io.Reader) (ok bool, seconds map[string]float64, err error) {
	t := tally{output: map[[2]string][]string{}, build: map[string][]string{}, skips: map[string][]string{}, seconds: map[string]float64{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(w, line) // not an event: output of the go command itself
			} else {
				t.add(w, e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, t.seconds, err
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(t.skips)) {
		fmt.Fprintf(w, "skipped: %s\n         %s\n", reason, some(t.skips[reason]))
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped in %d packages\n", t.passed, t.failed, t.skipped, t.packages)
	return t.failed == 0 && t.failedPackages == 0 && t.packages > 0, t.seconds, nil
}

func (t *tally) add(w io.Writer, e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		t.build[e.ImportPath] = append(t.build[e.ImportPath], e.Output)
	case "build-fail":
		fmt.Fprint(w, strings.Join(t.build[e.ImportPath], ""))
	case "output":
		t.output[key] = append(t.output[key], e.Output)
	case "pass", "fail", "skip":
		output := t.output[key]
		delete(t.output, key)
		t.end(w, e, output)
	}
}

// end counts a test or package that has ended, and prints its output if it failed.
func (t *tally) end(w io.Writer, e event, output []string) {
	if e.Test == "" {
		t.endPackage(w, e, output)
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
		// The race detector may report the race of one test in the output of another.
		if slices.Contains(output, "WARNING: DATA RACE\n") {
			said(w, output)
		}
	case "fail":
		t.failed++
		said(w, output)
	case "skip":
		t.skipped++
		reason := reason(output)
		t.skips[reason] = append(t.skips[reason], e.Package[strings.LastIndex(e.Package, "/")+1:]+"."+e.Test)
	}
}

// said prints the output of a test.
func said(w io.Writer, output []string) {
	for _, line := range output {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(w, line)
		}
	}
}

// endPackage prints the line of a package and, if it failed, its output outside of tests,
// such as a panic.
func (t *tally) endPackage(w io.Writer, e event, output []string) {
	t.packages++
	if e.Action != "skip" { // one without tests
		t.seconds[e.Package] = e.Elapsed
	}
	if e.Action == "fail" {
		t.failedPackages++
	}
	for i, line := range output {
		if e.Action == "fail" && line != "FAIL\n" || i == len(output)-1 {
			fmt.Fprint(w, line)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.output), func(a, b [2]string) int { return strings.Compare(a[1], b[1]) }) {
		if key[0] == e.Package { // a test that never ended
			fmt.Fprintf(w, "--- FAIL: %s did not end\n%s", key[1], strings.Join(t.output[key], ""))
			t.failed++
			delete(t.output, key)
		}
	}
}

// some returns the first few names.
func some(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
}

// reason returns the message of a skipped test, without file and line.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if _, words, ok := strings.Cut(line, ".go:"); ok {
			_, words, _ = strings.Cut(words, ": ")
			return strings.TrimSpace(words)
		}
	}
	return "no reason given"
}
