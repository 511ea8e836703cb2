package fasthttp_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
)

// Strings of a request must not change when the next one on the connection arrives.
func TestRequestsKeepTheirStrings(t *testing.T) {
	var kept [][]string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = append(kept, []string{r.Method, r.Host, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.Header.Get("X-Name")})
	})
	s := tile.New(tile.Options{})
	t.Cleanup(s.Close)
	base := serve(t, &fasthttp.Handler{Tiles: s, Next: next})
	var want [][]string
	for i, method := range []string{"GET", "PUT", "GET"} {
		name := fmt.Sprintf("%c%c%c", 'a'+i, 'a'+i, 'a'+i)
		req, err := http.NewRequestWithContext(t.Context(), method, base+"/"+name+"?q="+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Name", name)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want = append(want, []string{method, req.Host, "/" + name + "?q=" + name, "/" + name, "q=" + name, name})
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("requests as kept (-want +got):\n%s", diff)
	}
}

// Work that a request has started may use its context after the answer, while fasthttp
// handles other requests: the race detector reports a context that is reused.
func TestContextOutlivesRequest(t *testing.T) {
	var work sync.WaitGroup
	use := func(ctx context.Context) {
		work.Go(func() {
			for range 100 {
				ctx.Value("key")
				time.Sleep(time.Millisecond)
			}
		})
	}
	s := tile.New(tile.Options{})
	t.Cleanup(s.Close)
	base := serve(t, &fasthttp.Handler{
		Tiles: s,
		Next:  http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { use(r.Context()) }),
		Trace: func(ctx context.Context, _ string) (context.Context, func(int)) {
			use(ctx)
			return ctx, func(int) {}
		},
	})
	for range 5 {
		for _, path := range []string{"/other", "/api/v1/images/none/tiles/0/0/0"} {
			resp, err := http.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	work.Wait()
}
