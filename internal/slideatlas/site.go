package slideatlas

import (
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A Kind is the kind of an image store.
type Kind string

const (
	MongoDB Kind = "mongodb" // tiles in MongoDB
	TIFF    Kind = "tiff"    // pyramidal TIFF files
)

// A Store is a document of the collection "databases": an image store.
type Store struct {
	ID        ID
	Kind      Kind // another kind's name if it is neither of the known ones
	Label     string
	Copyright string
	// Hosts are the MongoDB servers, each NAME or NAME:PORT.
	Hosts      []string
	ReplicaSet string
	Database   string // in which the images are
	Username   string
	Password   Secret
	// AuthDatabase is the database that has the user; Database if the document names none.
	AuthDatabase string
	LastSync     time.Time // zero if never
	RootPath     string    // folder of a store of TIFF files
	HostName     string    // host that has the folder
	Warnings     []string
}

// DecodeStore decodes a document of the collection "databases". The only error is that of a
// document without an id.
func DecodeStore(doc bson.Raw) (*Store, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{
		ID: r.id("_id"), Kind: kindOf(r.text("_cls")), Label: r.text("label"), Copyright: r.text("copyright"),
		Hosts: r.hosts(), ReplicaSet: r.text("replica_set"), Database: r.text("dbname"),
		Username: r.text("username"), Password: Secret{r.text("password")}, AuthDatabase: r.text("auth_db"),
		LastSync: r.date("last_sync"), RootPath: r.text("root_path"), HostName: r.text("host_name"),
	}
	if s.AuthDatabase == "" {
		s.AuthDatabase = s.Database
	}
	s.Warnings = r.warnings
	return s, nil
}

// Classes of the stores of the two kinds, as SlideAtlas writes them.
const (
	MongoDBClass = classes + mongoDBStore
	TIFFClass    = classes + tiffStore

	classes      = "ImageStore.MultipleDatabaseImageStore."
	mongoDBStore = "MongoImageStore"
	tiffStore    = "PtiffImageStore"
)

// kindOf returns the kind of a class of SlideAtlas. Old documents of stores in MongoDB have
// none.
func kindOf(class string) Kind {
	name := class[strings.LastIndexByte(class, '.')+1:]
	switch name {
	case "", "Database", mongoDBStore:
		return MongoDB
	case tiffStore, "PtiffTileStore":
		return TIFF
	}
	return Kind(name)
}

// hosts returns the servers of a store: "host" is a list, or a text with commas.
func (r *record) hosts() []string {
	list := []string{}
	if v, ok := r.get("host"); ok && v.Type == bson.TypeArray {
		list = r.texts("host")
	} else if ok {
		list = strings.Split(r.text("host"), ",")
	}
	var hosts []string
	for _, h := range list {
		if h = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(h), "mongodb://"), "/"); h == "" {
			continue
		}
		if strings.ContainsAny(h, "@/?#") {
			r.warn("host", "an item is not a host name with an optional port")
			continue
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// A Collection is a document of the collection "collections": a course or a study.
type Collection struct {
	ID           ID
	StoreID      ID // of new images
	Label        string
	Copyright    string
	CreatorCodes []string
	Warnings     []string
}

// DecodeCollection decodes a document of the collection "collections". The only error is
// that of a document without an id.
func DecodeCollection(doc bson.Raw) (*Collection, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("collection: %w", err)
	}
	c := &Collection{
		ID: r.id("_id"), StoreID: r.id("image_store"), Label: r.text("label"), Copyright: r.text("copyright"), CreatorCodes: r.texts("creator_codes"),
	}
	c.Warnings = r.warnings
	return c, nil
}

// A Session is a document of the collection "sessions": a list of views in a collection.
type Session struct {
	ID           ID
	CollectionID ID
	StoreID      ID
	Label        string
	Views        []Reference // in their order
	Attachments  []Reference
	Warnings     []string
}

// A Reference is an item of a session.
type Reference struct {
	ID      ID // of the view or file
	StoreID ID // that has it; "" if unknown
	Label   string
	Hidden  bool
}

// DecodeSession decodes a document of the collection "sessions". The only error is that of a
// document without an id.
func DecodeSession(doc bson.Raw) (*Session, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	s := &Session{
		ID: r.id("_id"), CollectionID: r.id("collection"), StoreID: r.id("image_store"), Label: r.text("label"),
		Views: r.references("views"), Attachments: r.references("attachments"),
	}
	if s.Label == "" {
		s.Label = r.text("name")
	}
	s.Warnings = r.warnings
	return s, nil
}

// references returns the items of a list that have an id. Old documents have ids only.
func (r *record) references(field string) []Reference {
	var list []Reference
	if v, ok := r.get(field); ok && v.Type == bson.TypeArray {
		if first, ok := firstItem(v); ok && first.Type == bson.TypeObjectID {
			for _, id := range r.ids(field) {
				list = append(list, Reference{ID: id})
			}
			return list
		}
	}
	r.records(field, func(e *record) {
		ref := Reference{ID: e.id("ref"), StoreID: e.id("db"), Label: e.text("label"), Hidden: e.truth("hide")}
		if ref.ID == "" {
			e.warn("ref", "is absent")
			return
		}
		list = append(list, ref)
	})
	return list
}

func firstItem(list bson.RawValue) (first bson.RawValue, ok bool) {
	_ = each(list.Value, func(_ string, v bson.RawValue) error { // the caller reads the list again
		if !ok {
			first, ok = v, true
		}
		return nil
	})
	return first, ok
}

// A View is a document of the collection "views": an image, or several beside each other,
// as a session shows it.
type View struct {
	ID          ID
	Title       string
	HiddenTitle string // for students
	Type        string // "Note", "UserNote", or "" in old documents
	Images      []ViewImage
	Hidden      bool
	Warnings    []string
}

// A ViewImage is an image of a view.
type ViewImage struct {
	ID      ID
	StoreID ID // "" if the document does not say
}

// DecodeView decodes a document of the collection "views". The only error is that of a
// document without an id.
func DecodeView(doc bson.Raw) (*View, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	v := &View{ID: r.id("_id"), Title: r.text("Title"), HiddenTitle: r.text("HiddenTitle"), Type: r.text("Type"), Hidden: r.truth("hide")}
	if v.Title == "" {
		v.Title = r.text("label")
	}
	r.records("ViewerRecords", func(e *record) {
		if im := (ViewImage{e.id("Image"), e.viewStore()}); im.ID != "" {
			v.Images = append(v.Images, im)
		}
	})
	for _, field := range []string{"img", "image"} {
		if len(v.Images) == 0 && r.has(field) {
			if im := (ViewImage{r.id(field), r.id("imgdb")}); im.ID != "" {
				v.Images = []ViewImage{im}
			}
		}
	}
	if len(v.Images) == 0 {
		r.warn("ViewerRecords", "the view has no image")
	}
	v.Warnings = r.warnings
	return v, nil
}

// viewStore returns the store of a viewer record. Some records hold a whole document of the
// image, which names the store.
func (r *record) viewStore() ID {
	if r.has("Database") {
		return r.id("Database")
	}
	v, ok := r.get("Image")
	if !ok || v.Type != bson.TypeEmbeddedDocument {
		return ""
	}
	im, err := open(v.Value)
	if err != nil {
		return ""
	}
	return im.id("database")
}

// A User is a document of the collection "users". Passwords are not decoded.
type User struct {
	ID         ID
	Email      string
	Name       string
	Provider   string // class of the user: PasswordUser, GoogleUser, ShibbolethUser, …
	ExternalID string // of the provider
	Groups     []ID
	CreatedAt  time.Time // zero if unknown
	LastLogin  time.Time // zero if never
	Warnings   []string
}

// DecodeUser decodes a document of the collection "users". The only error is that of a
// document without an id.
func DecodeUser(doc bson.Raw) (*User, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	class := r.text("_cls")
	u := &User{
		ID: r.id("_id"), Email: strings.TrimSpace(r.text("email")), Name: r.text("label"), Provider: class[strings.LastIndexByte(class, '.')+1:],
		ExternalID: r.text("eppn"), CreatedAt: r.date("first_login"), LastLogin: r.date("last_login"),
	}
	if u.Name == "" {
		u.Name = r.text("full_name")
	}
	if u.ExternalID == "" {
		u.ExternalID = r.text("external_id")
	}
	for _, field := range []string{"groups", "rules"} { // rules is the older name
		if u.Groups == nil {
			u.Groups = r.ids(field)
		}
	}
	u.Warnings = r.warnings
	return u, nil
}

// A Group is a document of the collection "groups", or "rules" of older sites.
type Group struct {
	ID          ID
	Label       string
	Permissions []Permission
	Warnings    []string
}

// A Permission allows an operation on a resource and what belongs to it.
type Permission struct {
	Operation string // "view", "edit" or "admin"
	Resource  string // "site", "collection", "session", or "store" in rules
	ID        ID     // of the resource; "" for the site
}

// DecodeGroup decodes a document of the collection "groups" or "rules". The only error is
// that of a document without an id. Permissions that it cannot decode are left out and
// reported, so the group never has more rights than before.
func DecodeGroup(doc bson.Raw) (*Group, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	g := &Group{ID: r.id("_id"), Label: r.text("label")}
	if g.Label == "" {
		g.Label = r.text("name")
	}
	r.records("permissions", func(e *record) {
		p := Permission{e.text("operation"), e.text("resource_type"), e.id("resource_id")}
		if !p.valid() {
			e.warn("operation", "the permission is not known: operation %q on resource %q", p.Operation, p.Resource)
			return
		}
		g.Permissions = append(g.Permissions, p)
	})
	g.Permissions = append(g.Permissions, r.rule()...)
	g.Warnings = r.warnings
	return g, nil
}

func (p Permission) valid() bool {
	switch p.Operation {
	case "view", "edit", "admin":
	default:
		return false
	}
	switch p.Resource {
	case "site":
		return p.ID == ""
	case "collection", "session":
		return p.ID != ""
	}
	return false
}

// rule returns the permissions of a document of 2014, which has one store and a field for
// each right.
func (r *record) rule() []Permission {
	var list []Permission
	if r.truth("site_admin") {
		list = append(list, Permission{"admin", "site", ""})
	}
	store := r.id("db")
	for _, right := range []struct{ field, operation string }{{"db_admin", "admin"}, {"can_see_all", "view"}} {
		switch {
		case !r.truth(right.field):
		case store == "":
			r.warn(right.field, "the rule names no store")
		default:
			list = append(list, Permission{right.operation, "store", store})
		}
	}
	for _, session := range r.ids("can_see") {
		list = append(list, Permission{"view", "session", session})
	}
	return list
}

// A Permalink is a document of the collection "permalinks": a short address.
type Permalink struct {
	Code        string
	ViewID      ID
	Destination string
	Warnings    []string
}

// DecodePermalink decodes a document of the collection "permalinks". The only error is that
// of a document without an id.
func DecodePermalink(doc bson.Raw) (*Permalink, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("permalink: %w", err)
	}
	p := &Permalink{Code: r.text("code"), ViewID: r.id("view"), Destination: r.text("destination")}
	p.Warnings = r.warnings
	return p, nil
}
