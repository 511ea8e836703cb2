// Package slideatlas decodes the documents that SlideAtlas keeps in MongoDB: images, tiles,
// image stores, collections, sessions, views, users and groups. It also knows how tiles are
// named, and where an image lies in the square of its tiles.
//
// Documents are data from outside, written by many versions of several programs. A field
// with an unexpected value counts as absent and is reported with the reason. It never stops
// the decoding of the others.
package slideatlas
