package mongodb

import (
	"context"
	"errors"
	"io/fs"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// Images is the collection with the documents of images.
const Images = "images"

// HasImages reports whether the database has at least one image. The error may be
// [ErrUnavailable] or [ErrRefused].
func (d *Database) HasImages(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	o := options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})
	err := d.database.Collection(Images).FindOne(ctx, bson.D{}, o).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, d.failed(err)
}

// Image returns the document of an image. The error wraps [fs.ErrNotExist] if the server has
// none, and may be [ErrUnavailable] or [ErrRefused].
func (d *Database) Image(ctx context.Context, image slideatlas.ID) (bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	id, err := bson.ObjectIDFromHex(string(image))
	if err != nil {
		return nil, fs.ErrNotExist
	}
	// Some programs of SlideAtlas wrote ids as texts.
	doc, err := d.database.Collection(Images).FindOne(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{id, string(image)}}}}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fs.ErrNotExist
	}
	return doc, d.failed(err)
}

// notFound is the code of the error for a collection that does not exist.
const notFound = 26

// Size returns how many documents the collection of an image's tiles has, and their size in
// bytes, as the server has them at hand; 0 without a collection. The error may be
// [ErrUnavailable] or [ErrRefused].
func (d *Database) Size(ctx context.Context, image slideatlas.ID) (tiles, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	doc, err := d.database.RunCommand(ctx, bson.D{{Key: "collStats", Value: string(image)}}).Raw()
	if e, ok := errors.AsType[mongo.ServerError](err); ok && e.HasErrorCode(notFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, d.failed(err)
	}
	number := func(name string) int64 {
		n, _ := doc.Lookup(name).AsInt64OK()
		return max(n, 0)
	}
	return number("count"), number("size"), nil
}
