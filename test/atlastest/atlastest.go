// Package atlastest makes databases of SlideAtlas for tests, in a MongoDB server or as a
// folder that mongodump would write.
package atlastest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// TileSize is the side of the tiles of an [Image] in pixels.
const TileSize = 64

// An Image is an image with its tiles.
type Image struct {
	ID            string // 24 hex digits
	Filename      string
	Label         string
	Width, Height int    // pixels
	Gray          uint8  // of all pixels
	Foot          bool   // it lies at the foot of its square, as the Python uploader has it
	Extra         bson.D // further fields of the document
	Tiles         map[string][]byte
}

// New returns an image of 100 × 80 pixels with two zoom levels, whose id follows from its
// name.
func New(name string, gray uint8) Image {
	im := Image{ID: ID(name), Filename: name, Width: 100, Height: 80, Gray: gray}
	return im.WithTiles()
}

// WithTiles returns the image with all tiles that show a part of it.
func (im Image) WithTiles() Image {
	im.Tiles = im.tiles()
	return im
}

// ID returns an id that follows from a text.
func ID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

func (im Image) levels() int {
	n := 1
	for TileSize<<(n-1) < max(im.Width, im.Height) {
		n++
	}
	return n
}

// tiles returns the tiles that show a part of the image, by their names.
func (im Image) tiles() map[string][]byte {
	m := image.NewGray(image.Rect(0, 0, TileSize, TileSize))
	draw.Draw(m, m.Rect, image.NewUniform(color.Gray{im.Gray}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err) // it is written to memory
	}
	list := map[string][]byte{}
	for z := range im.levels() {
		side := TileSize << (im.levels() - 1 - z) // of a tile in pixels of the image
		top := 0
		if im.Foot {
			top = TileSize<<(im.levels()-1) - im.Height
		}
		for row := top / side; row*side < top+im.Height; row++ {
			for col := 0; col*side < im.Width; col++ {
				list[slideatlas.Tile{Zoom: z, Column: col, Row: row}.Name()] = b.Bytes()
			}
		}
	}
	return list
}

// document returns the document of the image.
func (im Image) document() bson.D {
	id, err := bson.ObjectIDFromHex(im.ID)
	if err != nil {
		panic(err)
	}
	doc := bson.D{
		{Key: "_id", Value: id},
		{Key: "filename", Value: im.Filename},
		{Key: "dimensions", Value: bson.A{int32(im.Width), int32(im.Height), int32(1)}},
		{Key: "levels", Value: int32(im.levels())},
		{Key: "TileSize", Value: int32(TileSize)},
		{Key: "spacing", Value: bson.A{250.0, 250.0, 1.0}},
	}
	if im.Label != "" {
		doc = append(doc, bson.E{Key: "label", Value: im.Label})
	}
	if im.Foot {
		side := TileSize << (im.levels() - 1)
		doc = append(doc, bson.E{Key: "CoordinateSystem", Value: "Pixel"},
			bson.E{Key: "bounds", Value: bson.A{int32(0), int32(im.Width), int32(side - im.Height), int32(side)}})
	}
	return append(doc, im.Extra...)
}

// tileDocuments returns the documents of the tiles.
func (im Image) tileDocuments() []any {
	var docs []any
	for _, name := range slices.Sorted(maps.Keys(im.Tiles)) {
		docs = append(docs, bson.D{{Key: "name", Value: name}, {Key: "level", Value: int32(len(name))}, {Key: "file", Value: bson.Binary{Data: im.Tiles[name]}}})
	}
	return docs
}

// A Database is a database of a MongoDB server.
type Database struct {
	Name     string
	URI      string // of the database
	database *mongo.Database
}

// NewDatabase connects to the database of a server at HOST:PORT.
func NewDatabase(t testing.TB, host, name string) *Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + host + "/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return &Database{Name: name, URI: "mongodb://" + host + "/" + name, database: client.Database(name)}
}

// Put adds or replaces images with their tiles.
func (d *Database) Put(t testing.TB, images ...Image) {
	t.Helper()
	for _, im := range images {
		d.Remove(t, im.ID)
		if docs := im.tileDocuments(); len(docs) > 0 {
			if _, err := d.database.Collection(im.ID).InsertMany(t.Context(), docs); err != nil {
				t.Fatal(err)
			}
		}
		d.Insert(t, "images", im.document())
	}
}

// Remove removes an image and its tiles.
func (d *Database) Remove(t testing.TB, id string) {
	t.Helper()
	key, err := bson.ObjectIDFromHex(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.database.Collection("images").DeleteOne(t.Context(), bson.D{{Key: "_id", Value: key}})
	if err := errors.Join(err, d.database.Collection(id).Drop(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Insert adds any documents to a collection.
func (d *Database) Insert(t testing.TB, collection string, docs ...any) {
	t.Helper()
	if _, err := d.database.Collection(collection).InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

// Drop removes the database.
func (d *Database) Drop(t testing.TB) {
	t.Helper()
	if err := d.database.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A Dump is the folder of the dump of a database.
type Dump struct {
	Dir    string
	Zip    bool // compress its files
	images []Image
	others []any // further documents of images
}

// Put adds or replaces images with their tiles.
func (d *Dump) Put(t testing.TB, images ...Image) {
	t.Helper()
	for _, im := range images {
		d.images = append(slices.DeleteFunc(d.images, func(o Image) bool { return o.ID == im.ID }), im)
		d.write(t, im.ID, im.tileDocuments())
	}
	d.writeImages(t)
}

// Remove removes an image and its tiles.
func (d *Dump) Remove(t testing.TB, id string) {
	t.Helper()
	d.images = slices.DeleteFunc(d.images, func(o Image) bool { return o.ID == id })
	d.write(t, id, nil)
	d.writeImages(t)
}

// Insert adds any documents of images.
func (d *Dump) Insert(t testing.TB, docs ...any) {
	t.Helper()
	d.others = append(d.others, docs...)
	d.writeImages(t)
}

func (d *Dump) writeImages(t testing.TB) {
	t.Helper()
	var docs []any
	for _, im := range d.images {
		docs = append(docs, im.document())
	}
	d.write(t, "images", append(docs, d.others...))
}

// write rewrites the file of a collection, or removes it if there are no documents.
func (d *Dump) write(t testing.TB, collection string, docs []any) {
	t.Helper()
	name := filepath.Join(d.Dir, collection+".bson")
	if d.Zip {
		name += ".gz"
	}
	if len(docs) == 0 && collection != "images" {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	var b bytes.Buffer
	for _, doc := range docs {
		raw, err := bson.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	data := b.Bytes()
	if d.Zip {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		_, err := z.Write(data)
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		data = zipped.Bytes()
	}
	if err := errors.Join(os.MkdirAll(d.Dir, 0o755), os.WriteFile(name+".new", data, 0o644), os.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}
