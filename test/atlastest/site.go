package atlastest

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Collection writes the documents of any other collection.
func (d *Dump) Collection(t testing.TB, name string, docs ...any) {
	t.Helper()
	d.write(t, name, docs)
}

// Password is the password of the database of one store of a [Site].
const Password = "tiles secret 7"

// OldRoot is the folder of the TIFF files of a [Site], which does not exist.
const OldRoot = "/mnt/slideatlas/ptiff"

// A Site is the dump of a made-up site of SlideAtlas: a folder with the dumps of the
// databases slideatlas, tiles1, tiles2 and ptiff1. It has 3 stores, 40 images, 5 users and
// 4 groups.
type Site struct {
	Dir    string
	Stores [3]string // ids: two with images in MongoDB, and one of TIFF files
	Images []Image   // of the first two stores, 15 each
	Files  []string  // names of the TIFF files of the third, 10
}

// NewSite writes the dump of a site into a folder.
func NewSite(t testing.TB, dir string) *Site {
	t.Helper()
	s := &Site{Dir: dir, Stores: [3]string{ID("store 1"), ID("store 2"), ID("store 3")}}
	for i := range 2 {
		d := &Dump{Dir: filepath.Join(dir, fmt.Sprint("tiles", i+1)), Zip: i == 1}
		for n := range 15 {
			im := New(fmt.Sprintf("S-%d-%02d.ndpi", i+1, n), uint8(10*n))
			im.Label = fmt.Sprintf("Slide %d-%02d", i+1, n)
			if im.Foot = i == 1; im.Foot {
				im.Tiles = im.tiles()
			}
			s.Images = append(s.Images, im)
			d.Put(t, im)
		}
	}
	s.writeFiles(t)
	s.writeAdmin(t)
	return s
}

// writeFiles writes the documents of the images of TIFF files.
func (s *Site) writeFiles(t testing.TB) {
	t.Helper()
	d := &Dump{Dir: filepath.Join(s.Dir, "ptiff1")}
	var docs []any
	for n := range 10 {
		name := fmt.Sprintf("P-%02d.tiff", n)
		s.Files = append(s.Files, name)
		docs = append(docs, bson.D{
			{Key: "_id", Value: object(ID(name))},
			{Key: "filename", Value: name},
			{Key: "label", Value: "Case " + name},
			{Key: "dimensions", Value: bson.A{int32(600), int32(400), int32(1)}},
			{Key: "levels", Value: int32(4)},
		})
	}
	d.write(t, "images", docs)
}

func object(id string) bson.ObjectID {
	o, err := bson.ObjectIDFromHex(id)
	if err != nil {
		panic(err)
	}
	return o
}

// writeAdmin writes the admin database.
func (s *Site) writeAdmin(t testing.TB) {
	t.Helper()
	d := &Dump{Dir: filepath.Join(s.Dir, "slideatlas")}
	const class = "ImageStore.MultipleDatabaseImageStore."
	d.Collection(
		t, "databases",
		bson.D{
			{Key: "_id", Value: object(s.Stores[0])},
			{Key: "_cls", Value: class + "MongoImageStore"},
			{Key: "label", Value: "Old slides"},
			{Key: "copyright", Value: "(c) 2014"},
			{Key: "host", Value: "127.0.0.1:1"},
			{Key: "dbname", Value: "tiles1"},
			{Key: "username", Value: "reader"},
			{Key: "password", Value: Password},
		},
		bson.D{{Key: "_id", Value: object(s.Stores[1])}, {Key: "label", Value: "Older slides"}, {Key: "host", Value: "127.0.0.1:1"}, {Key: "dbname", Value: "tiles2"}},
		bson.D{
			{Key: "_id", Value: object(s.Stores[2])},
			{Key: "_cls", Value: class + "PtiffImageStore"},
			{Key: "label", Value: "Scanner 1"},
			{Key: "dbname", Value: "ptiff1"},
			{Key: "root_path", Value: OldRoot},
		},
	)
	collection, session := object(ID("collection")), object(ID("session"))
	permission := func(operation, resource string, id ...any) bson.D {
		p := bson.D{{Key: "operation", Value: operation}, {Key: "resource_type", Value: resource}}
		if len(id) > 0 {
			p = append(p, bson.E{Key: "resource_id", Value: id[0]})
		}
		return p
	}
	group := func(name string, permissions ...any) bson.D {
		return bson.D{{Key: "_id", Value: object(ID(name))}, {Key: "label", Value: name}, {Key: "permissions", Value: bson.A(permissions)}}
	}
	d.Collection(
		t, "groups", group("Administrators", permission("admin", "site")), group("Students", permission("view", "session", session)),
		group("Teachers", permission("edit", "collection", collection)), group("Nobody", permission("view", "session", object(ID("no session"))), permission("eat", "site")),
	)
	user := func(email, name string, groups ...any) bson.D {
		return bson.D{
			{Key: "_id", Value: object(ID("user " + name))},
			{Key: "_cls", Value: "User.PasswordUser"},
			{Key: "email", Value: email},
			{Key: "label", Value: name},
			{Key: "passwd", Value: "user secret"},
			{Key: "groups", Value: bson.A(groups)},
		}
	}
	d.Collection(
		t, "users", user("anna@example.org", "Anna", object(ID("Administrators"))), user("bert@example.org", "Bert", object(ID("Students"))),
		user("cleo@example.org", "Cleo", object(ID("Students")), object(ID("Teachers"))), user("dora@example.org", "Dora", object(ID("gone"))), user("", "Emil"),
	)
	view := func(store, image string) bson.D {
		return bson.D{{Key: "_id", Value: object(ID("view " + image))}, {Key: "ViewerRecords", Value: bson.A{bson.D{{Key: "Image", Value: object(image)}, {Key: "Database", Value: object(store)}}}}}
	}
	d.Collection(t, "views", view(s.Stores[0], s.Images[0].ID), view(s.Stores[1], s.Images[15].ID), view(s.Stores[2], ID(s.Files[0])))
	d.Collection(t, "collections", bson.D{{Key: "_id", Value: collection}, {Key: "label", Value: "Histology"}})
	d.Collection(t, "sessions", bson.D{
		{Key: "_id", Value: session},
		{Key: "collection", Value: collection},
		{Key: "label", Value: "Liver"},
		{Key: "views", Value: bson.A{
			bson.D{{Key: "ref", Value: object(ID("view " + s.Images[0].ID))}},
			bson.D{{Key: "ref", Value: object(ID("view " + s.Images[15].ID))}},
			bson.D{{Key: "ref", Value: object(ID("view " + ID(s.Files[0])))}},
		}},
	})
	d.Collection(t, "permalinks", bson.D{{Key: "_id", Value: object(ID("link"))}, {Key: "code", Value: "abc"}})
}
