package slideatlas

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestDecodeStore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		doc     bson.D
		want    Store
		warning string
	}{
		{
			name: "MongoDB",
			doc: bson.D{
				{Key: "_id", Value: oid(1)},
				{Key: "_cls", Value: "ImageStore.MultipleDatabaseImageStore.MongoImageStore"},
				{Key: "label", Value: "Old slides"},
				{Key: "copyright", Value: "2014"},
				{Key: "host", Value: "db1.example.org:27018"},
				{Key: "dbname", Value: "tiles1"},
				{Key: "username", Value: "reader"},
				{Key: "password", Value: "hunter2"},
			},
			want: Store{ID: hexOf(1), Kind: MongoDB, Label: "Old slides", Copyright: "2014", Hosts: []string{"db1.example.org:27018"}, Database: "tiles1", Username: "reader", Password: Secret{"hunter2"}, AuthDatabase: "tiles1"},
		},
		{
			name: "replica set",
			doc:  bson.D{{Key: "_id", Value: oid(1)}, {Key: "host", Value: bson.A{"a:1", "b"}}, {Key: "replica_set", Value: "rs0"}, {Key: "dbname", Value: "tiles1"}, {Key: "auth_db", Value: "admin"}},
			want: Store{ID: hexOf(1), Kind: MongoDB, Hosts: []string{"a:1", "b"}, ReplicaSet: "rs0", Database: "tiles1", AuthDatabase: "admin"},
		},
		{
			name: "replica set with commas",
			doc:  bson.D{{Key: "_id", Value: oid(1)}, {Key: "_cls", Value: "TileStore.Database"}, {Key: "host", Value: "mongodb://a:1, b,"}, {Key: "replica_set", Value: nil}},
			want: Store{ID: hexOf(1), Kind: MongoDB, Hosts: []string{"a:1", "b"}},
		},
		{
			name: "TIFF files of 2014",
			doc:  bson.D{{Key: "_id", Value: oid(1)}, {Key: "_cls", Value: "TileStore.Database.PtiffTileStore"}, {Key: "root_path", Value: "/slides"}, {Key: "last_sync", Value: bson.NewDateTimeFromTime(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))}},
			want: Store{ID: hexOf(1), Kind: TIFF, RootPath: "/slides"},
		},
		{
			name: "TIFF files",
			doc:  bson.D{{Key: "_id", Value: oid(1)}, {Key: "_cls", Value: "ImageStore.MultipleDatabaseImageStore.PtiffImageStore"}, {Key: "host_name", Value: "scanner-pc"}, {Key: "last_sync", Value: bson.DateTime(1400000000000)}},
			want: Store{ID: hexOf(1), Kind: TIFF, HostName: "scanner-pc", LastSync: time.Date(2014, 5, 13, 16, 53, 20, 0, time.UTC)},
		},
		{
			name:    "another kind, with a password in the host",
			doc:     bson.D{{Key: "_id", Value: oid(1)}, {Key: "_cls", Value: "ImageStore.S3ImageStore"}, {Key: "host", Value: "reader:hunter2@a"}, {Key: "label", Value: 5}},
			want:    Store{ID: hexOf(1), Kind: "S3ImageStore"},
			warning: "label: is a 32-bit integer instead of a text\nhost: an item is not a host name with an optional port",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeStore(encode(t, tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(got.Warnings, "\n")
			got.Warnings = nil
			check(t, "store", *got, tt.want)
			check(t, "warnings", warnings, tt.warning)
		})
	}
}

func TestDecodeCollection(t *testing.T) {
	got, err := DecodeCollection(encode(t, bson.D{
		{Key: "_id", Value: oid(1)}, {Key: "image_store", Value: oid(2)}, {Key: "label", Value: "Pathology 101"}, {Key: "copyright", Value: "2014"}, {Key: "creator_codes", Value: bson.A{"ABC", 5}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "collection", *got, Collection{
		ID: hexOf(1), StoreID: hexOf(2), Label: "Pathology 101", Copyright: "2014", CreatorCodes: []string{"ABC"}, Warnings: []string{"creator_codes: has an item that is not a text"},
	})
}

func TestDecodeSession(t *testing.T) {
	got, err := DecodeSession(encode(t, bson.D{
		{Key: "_id", Value: oid(1)},
		{Key: "collection", Value: oid(2)},
		{Key: "image_store", Value: bson.D{{Key: "$ref", Value: "databases"}, {Key: "$id", Value: oid(3)}}},
		{Key: "label", Value: "Week 1"},
		{Key: "views", Value: bson.A{
			bson.D{{Key: "ref", Value: oid(4)}, {Key: "db", Value: oid(3)}, {Key: "hide", Value: true}, {Key: "label", Value: "Liver"}}, "rubbish", bson.D{{Key: "pos", Value: 1}}, bson.D{{Key: "ref", Value: oid(5)}},
		}},
		{Key: "attachments", Value: bson.A{oid(6), 7, oid(8)}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "session", *got, Session{
		ID: hexOf(1), CollectionID: hexOf(2), StoreID: hexOf(3), Label: "Week 1",
		Views:       []Reference{{ID: hexOf(4), StoreID: hexOf(3), Label: "Liver", Hidden: true}, {ID: hexOf(5)}},
		Attachments: []Reference{{ID: hexOf(6)}, {ID: hexOf(8)}},
		Warnings: []string{
			"views.1: is a string instead of a document", "views.2.ref: is absent", "attachments: has an item that is not the id of a document",
		},
	})
}

func TestDecodeView(t *testing.T) {
	for _, tt := range []struct {
		name    string
		doc     bson.D
		want    View
		warning string
	}{
		{
			name: "note", want: View{Title: "Liver", HiddenTitle: "A", Type: "Note", Images: []ViewImage{{hexOf(2), hexOf(3)}, {hexOf(4), hexOf(3)}}},
			doc: bson.D{{Key: "Title", Value: "Liver"}, {Key: "HiddenTitle", Value: "A"}, {Key: "Type", Value: "Note"}, {Key: "ViewerRecords", Value: bson.A{
				bson.D{{Key: "Image", Value: oid(2)}, {Key: "Database", Value: oid(3)}}, bson.D{{Key: "Image", Value: oid(4).Hex()}, {Key: "Database", Value: oid(3).Hex()}},
			}}},
		},
		{
			name: "with a whole image", want: View{Images: []ViewImage{{hexOf(2), hexOf(3)}}},
			doc: bson.D{{Key: "ViewerRecords", Value: bson.A{bson.D{{Key: "Image", Value: bson.D{{Key: "_id", Value: oid(2).Hex()}, {Key: "database", Value: oid(3).Hex()}}}}}}},
		},
		{
			name: "old", want: View{Title: "Liver", Images: []ViewImage{{hexOf(2), hexOf(3)}}, Hidden: true},
			doc: bson.D{{Key: "img", Value: oid(2)}, {Key: "imgdb", Value: oid(3).Hex()}, {Key: "label", Value: "Liver"}, {Key: "hide", Value: 1}},
		},
		{
			name: "of a TIFF store", want: View{Images: []ViewImage{{ID: hexOf(2)}}},
			doc: bson.D{{Key: "image", Value: oid(2)}},
		},
		{
			name: "without image", warning: "ViewerRecords.0.Image: is not the id of a document\nViewerRecords: the view has no image",
			doc: bson.D{{Key: "ViewerRecords", Value: bson.A{bson.D{{Key: "Image", Value: 5}}}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeView(encode(t, append(bson.D{{Key: "_id", Value: oid(1)}}, tt.doc...)))
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(got.Warnings, "\n")
			got.Warnings = nil
			tt.want.ID = hexOf(1)
			check(t, "view", *got, tt.want)
			check(t, "warnings", warnings, tt.warning)
		})
	}
}

func TestDecodeUser(t *testing.T) {
	got, err := DecodeUser(encode(t, bson.D{
		{Key: "_id", Value: oid(1)},
		{Key: "_cls", Value: "User.PasswordUser"},
		{Key: "email", Value: " anna@example.org"},
		{Key: "label", Value: "Anna"},
		{Key: "passwd", Value: "pbkdf2…"},
		{Key: "rules", Value: bson.A{oid(2), bson.D{{Key: "$id", Value: oid(3)}}}},
		{Key: "first_login", Value: bson.DateTime(1400000000000)},
		{Key: "last_login", Value: nil},
	}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "user", *got, User{
		ID: hexOf(1), Email: "anna@example.org", Name: "Anna", Provider: "PasswordUser", Groups: []ID{hexOf(2), hexOf(3)}, CreatedAt: time.Date(2014, 5, 13, 16, 53, 20, 0, time.UTC),
	})
	got, err = DecodeUser(encode(t, bson.D{
		{Key: "_id", Value: oid(1)}, {Key: "_cls", Value: "User.ShibbolethUser"}, {Key: "eppn", Value: "anna@example.org"}, {Key: "full_name", Value: "Anna"}, {Key: "groups", Value: bson.A{oid(2)}}, {Key: "rules", Value: bson.A{oid(3)}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "user", *got, User{ID: hexOf(1), Name: "Anna", Provider: "ShibbolethUser", ExternalID: "anna@example.org", Groups: []ID{hexOf(2)}})
}

func TestDecodeGroup(t *testing.T) {
	for _, tt := range []struct {
		name    string
		doc     bson.D
		want    []Permission
		warning string
	}{
		{
			name: "permissions",
			doc: bson.D{{Key: "permissions", Value: bson.A{
				bson.D{{Key: "operation", Value: "admin"}, {Key: "resource_type", Value: "site"}},
				bson.D{{Key: "operation", Value: "edit"}, {Key: "resource_type", Value: "collection"}, {Key: "resource_id", Value: oid(2)}},
				bson.D{{Key: "operation", Value: "view"}, {Key: "resource_type", Value: "session"}, {Key: "resource_id", Value: oid(3)}},
			}}},
			want: []Permission{{"admin", "site", ""}, {"edit", "collection", hexOf(2)}, {"view", "session", hexOf(3)}},
		},
		{
			name: "unknown permissions",
			doc: bson.D{{Key: "permissions", Value: bson.A{
				bson.D{{Key: "operation", Value: "view"}, {Key: "resource_type", Value: "session"}},
				bson.D{{Key: "operation", Value: "own"}, {Key: "resource_type", Value: "site"}},
			}}},
			warning: "permissions.0.operation: the permission is not known: operation \"view\" on resource \"session\"\n" +
				"permissions.1.operation: the permission is not known: operation \"own\" on resource \"site\"",
		},
		{
			name: "rule",
			doc: bson.D{
				{Key: "db", Value: oid(2)}, {Key: "db_admin", Value: true}, {Key: "can_see_all", Value: true}, {Key: "can_see", Value: bson.A{oid(3)}}, {Key: "site_admin", Value: true},
			},
			want: []Permission{{"admin", "site", ""}, {"admin", "store", hexOf(2)}, {"view", "store", hexOf(2)}, {"view", "session", hexOf(3)}},
		},
		{
			name: "rule without store", doc: bson.D{{Key: "can_see_all", Value: true}, {Key: "site_admin", Value: false}},
			warning: "can_see_all: the rule names no store",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeGroup(encode(t, append(bson.D{{Key: "_id", Value: oid(1)}, {Key: "label", Value: "Students"}}, tt.doc...)))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "warnings", strings.Join(got.Warnings, "\n"), tt.warning)
			got.Warnings = nil
			check(t, "group", *got, Group{ID: hexOf(1), Label: "Students", Permissions: tt.want})
		})
	}
}

func TestDecodePermalink(t *testing.T) {
	got, err := DecodePermalink(encode(t, bson.D{{Key: "_id", Value: oid(1)}, {Key: "code", Value: "abc379"}, {Key: "view", Value: oid(2)}}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "permalink", *got, Permalink{Code: "abc379", ViewID: hexOf(2)})
}
