package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

const (
	atlasImage = "5356d8b9e67655244bf3273a"
	atlasZooms = 4   // the largest level has 8 × 8 tiles: FerretDB reads all for each query
	atlasConns = 16  // connections of the client, and of each server to the database
	atlasTile  = 256 // side in pixels
)

// mongoTiles compares tiles of an image in MongoDB with those of a handler that does nothing
// but ask the database.
func mongoTiles(ctx context.Context, o *options, r *report) error {
	db, err := mongotest.Start()
	if err != nil {
		return err
	}
	defer db.Stop()
	client, err := mongo.Connect(mongooptions.Client().ApplyURI("mongodb://" + db.Host).SetMaxPoolSize(atlasConns))
	if err != nil {
		return err
	}
	defer client.Disconnect(context.WithoutCancel(ctx))
	tiles := client.Database("bench").Collection(atlasImage)
	mean, err := fillAtlas(ctx, client.Database("bench"), tiles)
	if err != nil {
		return err
	}
	servers := []*atlasServer{{name: "handler of 20 lines"}, {name: "ptiffstore, tile not in its cache"}, {name: "ptiffstore, tile in its cache"}}
	handlers := []http.Handler{bareMongo(tiles)}
	for _, cache := range []int64{1, 0} { // bytes; 0 for the default
		h, end, err := atlasHandler(ctx, db.Host, cache)
		if err != nil {
			return err
		}
		defer end()
		handlers = append(handlers, h)
	}
	for i, h := range handlers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		srv := &http.Server{Handler: h}
		go srv.Serve(l) //nolint:errcheck // it is closed
		defer srv.Close()
		servers[i].base = "http://" + l.Addr().String()
	}
	paths := atlasPaths()
	for round := range o.rounds + 1 {
		for _, s := range servers {
			one, err := askAtlas(ctx, s.base, paths, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 { // the first one fills the cache
				s.rounds = append(s.rounds, one)
			}
		}
	}
	r.mongodb(o, mean, len(paths), servers)
	return nil
}

// An atlasServer is a server of tiles of the image.
type atlasServer struct {
	name, base string
	rounds     []round
}

// bareMongo returns the handler to compare with.
func bareMongo(tiles *mongo.Collection) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var doc struct {
			File bson.Binary `bson:"file"`
		}
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		err := tiles.FindOne(r.Context(), bson.D{{Key: "name", Value: name}}).Decode(&doc)
		switch {
		case errors.Is(err, mongo.ErrNoDocuments):
			http.NotFound(w, r)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("Content-Length", fmt.Sprint(len(doc.File.Data)))
		w.Write(doc.File.Data) //nolint:errcheck // the client is gone
	})
}

// atlasHandler returns the handler of the program with a cache of that many bytes.
func atlasHandler(ctx context.Context, host string, cache int64) (h http.Handler, end func(), err error) {
	pool := &source.Pool{Timeout: time.Minute}
	st := &catalog.Store{ID: "bench", Kind: catalog.MongoDB, Root: "mongodb://" + host + "/bench"}
	src, err := pool.Open(st)
	if err != nil {
		return nil, nil, err
	}
	id, err := src.Identify(atlasImage)
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	t := tile.New(tile.Options{MaxCached: cache, Open: func(ctx context.Context, f *tile.File) (tile.Opened, error) {
		s, err := src.Slide(ctx, f.Path)
		if err != nil {
			return tile.Opened{}, err
		}
		return tile.Opened{Slide: s.Slide, Identity: s.Identity, Close: func() { s.Close() }}, s.Err
	}})
	t.Put(tile.File{ID: "bench", Path: atlasImage, Store: &tile.Store{ID: "bench", Kind: "mongodb"}, Revision: "r", Identity: id})
	return &nethttp.Handler{Tiles: t, Log: slog.Default()}, func() { t.Close(); pool.Close() }, ctx.Err()
}

// fillAtlas writes an image, and returns the mean size of its tiles in bytes.
func fillAtlas(ctx context.Context, db *mongo.Database, tiles *mongo.Collection) (mean int, err error) {
	id, err := bson.ObjectIDFromHex(atlasImage)
	if err != nil {
		return 0, err
	}
	side := atlasTile << (atlasZooms - 1)
	_, err = db.Collection("images").InsertOne(ctx, bson.D{
		{Key: "_id", Value: id}, {Key: "filename", Value: "bench"}, {Key: "dimensions", Value: bson.A{side, side}}, {Key: "levels", Value: atlasZooms},
	})
	if err != nil {
		return 0, err
	}
	if _, err := tiles.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}}); err != nil {
		return 0, err
	}
	var docs []any
	total, random := 0, rand.New(rand.NewPCG(1, 2))
	for z := range atlasZooms {
		for y := range 1 << z {
			for x := range 1 << z {
				b, err := noisyTile(random)
				if err != nil {
					return 0, err
				}
				total += len(b)
				docs = append(docs, bson.D{{Key: "name", Value: slideatlas.Tile{Zoom: z, Column: x, Row: y}.Name()}, {Key: "level", Value: z}, {Key: "file", Value: bson.Binary{Data: b}}})
			}
		}
	}
	for part := range slices.Chunk(docs, 64) {
		if _, err := tiles.InsertMany(ctx, part); err != nil {
			return 0, err
		}
	}
	return total / len(docs), nil
}

// noisyTile returns a JPEG about as large as those of tissue.
func noisyTile(random *rand.Rand) ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, atlasTile, atlasTile))
	for i := 0; i < len(m.Pix); i += 4 {
		noise := uint8(random.UintN(120))
		copy(m.Pix[i:], []byte{200 - noise, 120 + noise, 180, 255})
	}
	m.SetRGBA(0, 0, color.RGBA{A: 255})
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}

// atlasPaths returns the addresses of the tiles of the largest level, in random order. They
// are the same for all servers.
func atlasPaths() []string {
	var paths []string
	n := 1 << (atlasZooms - 1)
	for i := range n * n {
		paths = append(paths, "/api/v1/images/bench/tiles/"+slideatlas.Tile{Zoom: atlasZooms - 1, Column: i % n, Row: i / n}.Name())
	}
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	return paths
}

// askAtlas requests the tiles in turn for some time, over several connections.
func askAtlas(ctx context.Context, base string, paths []string, duration time.Duration) (round, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atlasConns}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for range atlasConns {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && ctx.Err() == nil && time.Since(began) < duration {
				start := time.Now()
				err = askOne(client, base+paths[int(next.Add(1))%len(paths)])
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	spent := time.Since(began)
	slices.Sort(times)
	if failed != nil || len(times) == 0 {
		return round{}, errors.Join(failed, ctx.Err())
	}
	return round{rate: float64(len(times)) / spent.Seconds(), p99: times[len(times)*99/100]}, nil
}

func askOne(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n == 0) {
		err = fmt.Errorf("%s: status %d, %d bytes", url, resp.StatusCode, n)
	}
	return err
}

func (r *report) mongodb(o *options, mean, tiles int, servers []*atlasServer) {
	middleOf := func(f func(i int) float64) float64 {
		var all []float64
		for i := range servers[0].rounds {
			all = append(all, f(i))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## Tiles in MongoDB\n\n`go run ./test/bench -only mongodb`: the %d tiles of the largest level of an image (mean %.1f KB) in FerretDB 1.24 on SQLite, %d connections, %d interleaved rounds of %v. Servers,\nclient and database share the processors. The handler of 20 lines asks the same driver for each tile. %s. The ratios are medians of the\nratios of each round; the goals are 0.8 without the cache and 10 with it.\n\n", tiles, float64(mean)/1000, atlasConns, o.rounds, o.duration, machine())
	b.WriteString("| server | req/s | to the handler | p99 |\n|---|---|---|---|\n")
	for _, s := range servers {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.1f ms |\n", s.name,
			thousands(middleOf(func(i int) float64 { return s.rounds[i].rate })),
			middleOf(func(i int) float64 { return s.rounds[i].rate / servers[0].rounds[i].rate }),
			middleOf(func(i int) float64 { return float64(s.rounds[i].p99.Microseconds()) / 1000 }))
	}
	r.sections["mongodb"] = b.String()
}
