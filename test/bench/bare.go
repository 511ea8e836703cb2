package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// serveBare measures the limit of net/http: its handler parses the tile's address, reads the
// tile and writes it. It checks nothing, and serves one slide.
func serveBare(ctx context.Context, path, listen string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/\n", l.Addr())
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := strings.Split(r.URL.Path, "/")
		x, _ := strconv.Atoi(p[len(p)-2])
		y, _ := strconv.Atoi(strings.TrimSuffix(p[len(p)-1], ".jpg"))
		b, err := s.AppendTile(nil, 0, x, y)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	})}
	go func() { <-ctx.Done(); server.Close() }()
	return server.Serve(l)
}
