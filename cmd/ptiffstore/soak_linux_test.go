package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/soak"
)

// soakOptions load a server for a few seconds, most of them with a steady load that leaves the
// processors to other tests; make test-long loads it without a pause.
var soakOptions = func() soak.Options {
	o := soak.Options{Duration: 5 * time.Second, Idle: 500, Slow: 80, Clients: 8, Makers: 4, Pause: 2 * time.Millisecond}
	if os.Getenv("PTIFFSTORE_LONG") != "" { // TestMain unsets it
		o.Duration, o.Pause = 30*time.Second, 0
	}
	return o
}()

// TestSoak overloads both servers: every client gets the right answer or 503 with
// Retry-After, memory stays under its limit, and no goroutine or file leaks. Times are not
// checked.
func TestSoak(t *testing.T) {
	t.Parallel()
	const megabytes = 512
	dir, data := slidesIn(t, map[string]*slideFile{"philips.tiff": philips}), t.TempDir()
	added := command(t, "store", "add", filepath.Join(t.TempDir(), "archive"), "--managed", "--data", data, "--json")
	var archive struct{ ID string }
	if err := json.Unmarshal([]byte(added.out), &archive); err != nil || added.code != exitOK {
		t.Fatalf("store add: %+v, %v", added, err)
	}
	flags := func(debug string) []string {
		return []string{"--data", data, "--debug-listen", debug, "--memory-limit", fmt.Sprint(megabytes), "--log-level", "error"}
	}
	debug := "127.0.0.1:" + freePort(t)
	main := launch(t, append([]string{"serve", dir}, flags(debug)...)...)
	im := main.available("philips.tiff")
	target := soak.Target{Name: "serve", Address: strings.TrimPrefix(main.url, "http://"), Debug: debug, PID: main.cmd.Process.Pid, Ceiling: megabytes << 20}
	for n := range 16 {
		target.Stored = append(target.Stored, fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d.jpg", im.ID, *im.MaxZoom, n%4, n/4%3))
	}
	for n := range 2000 { // each is another image
		target.Made = append(target.Made, fmt.Sprintf("/api/v1/images/%s/thumbnail?width=%d&height=%d", im.ID, 100+n%50, 100+n/50))
	}
	target.Upload = archive.ID
	edgeDebug := "127.0.0.1:" + freePort(t)
	edge := launch(t, append([]string{"tileserver"}, flags(edgeDebug)...)...)
	second := target
	second.Name, second.Address, second.Debug, second.PID, second.Upload = "tileserver", strings.TrimPrefix(edge.url, "http://"), edgeDebug, edge.cmd.Process.Pid, ""
	options := soakOptions
	options.Log = t.Logf
	for _, one := range []*soak.Target{&target, &second} {
		res, err := soak.Run(t.Context(), one, options)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range res.Failures {
			t.Errorf("%s: %s", one.Name, f)
		}
	}
}
