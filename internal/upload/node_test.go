package upload_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/upload"
)

// Other tus clients upload a file over connections that are cut.
func TestOtherClients(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("../../webapp/e2e/upload.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(script), "../node_modules/tus-js-client")); err != nil {
		t.Skip("tus-js-client is not installed: run npm ci in webapp")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	for _, client := range []string{"tus", "uppy"} {
		t.Run(client, func(t *testing.T) {
			s := newSite(t, upload.Options{})
			random := rand.New(rand.NewPCG(3, 4))
			var mu sync.Mutex
			p := newCutter(t, s.url, func() int64 {
				mu.Lock()
				defer mu.Unlock()
				return 200<<10 + random.Int64N(1<<20)
			})
			file := noise(4 << 20)
			out, err := exec.CommandContext(t.Context(), node, script, client, p.url+upload.Route, s.store.ID, slideOf(t, file)).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			if p.cuts.Load() < 2 {
				t.Errorf("only %d connections were cut", p.cuts.Load())
			}
			s.arrived(patient+".tiff", file)
		})
	}
}
