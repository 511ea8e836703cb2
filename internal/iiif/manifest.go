package iiif

import "strconv"

// A Canvas is a slide of a manifest of the IIIF Presentation API 3.0.
type Canvas struct {
	ID            string // of the image
	Image         string // URL of the image: id of its info.json
	Thumbnail     string // URL of a small JPEG
	Label         string
	Metadata      []Entry
	Width, Height int     // pixels
	MPP           float64 // µm per pixel; 0 if unknown
}

// An Entry is a name and a value that viewers show.
type Entry struct{ Name, Value string }

// text is a text in no language.
type text map[string][]string

func plain(s string) text { return text{"none": {s}} }

type manifest struct {
	Context  string     `json:"@context"`
	ID       string     `json:"id"`
	Type     string     `json:"type"`
	Label    text       `json:"label"`
	Metadata []metadata `json:"metadata,omitempty"`
	Items    []canvas   `json:"items"`
}

type metadata struct {
	Label text `json:"label"`
	Value text `json:"value"`
}

type canvas struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Label     text       `json:"label"`
	Metadata  []metadata `json:"metadata,omitempty"`
	Width     int        `json:"width"`
	Height    int        `json:"height"`
	Thumbnail []resource `json:"thumbnail"`
	Service   []any      `json:"service,omitempty"`
	Items     []page     `json:"items"`
}

type page struct {
	ID    string       `json:"id"`
	Type  string       `json:"type"`
	Items []annotation `json:"items"`
}

type annotation struct {
	ID         string   `json:"id"`
	Type       string   `json:"type"`
	Motivation string   `json:"motivation"`
	Body       resource `json:"body"`
	Target     string   `json:"target"`
}

type resource struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Format  string `json:"format"`
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	Service []any  `json:"service,omitempty"`
}

type imageService struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Profile string `json:"profile"`
}

// A physicalScale is the service that says how large a pixel is (physical dimensions, version 1).
type physicalScale struct {
	Context string  `json:"@context"`
	Profile string  `json:"profile"`
	Scale   float64 `json:"physicalScale"`
	Units   string  `json:"physicalUnits"`
}

// scaleOf returns the service for µm per pixel; none if they are unknown.
func scaleOf(mpp float64) []any {
	if mpp <= 0 {
		return nil
	}
	return []any{physicalScale{"http://iiif.io/api/annex/services/physdim/1/context.json", "http://iiif.io/api/annex/services/physdim", mpp / 1000, "mm"}}
}

// NewManifest returns a manifest of slides, to be encoded as JSON. ID is its URL.
func NewManifest(id, label string, entries []Entry, slides []Canvas) any {
	m := manifest{Context: "http://iiif.io/api/presentation/3/context.json", ID: id, Type: "Manifest", Label: plain(label), Metadata: metadataOf(entries), Items: []canvas{}}
	for i, s := range slides {
		at := id + "/canvas/" + strconv.Itoa(i+1)
		m.Items = append(m.Items, canvas{
			ID: at, Type: "Canvas", Label: plain(s.Label), Metadata: metadataOf(s.Metadata), Width: s.Width, Height: s.Height, Service: scaleOf(s.MPP),
			Thumbnail: []resource{{ID: s.Thumbnail, Type: "Image", Format: "image/jpeg"}},
			Items: []page{{ID: at + "/page", Type: "AnnotationPage", Items: []annotation{{
				ID: at + "/annotation", Type: "Annotation", Motivation: "painting", Target: at,
				Body: resource{
					ID: s.Image + "/full/!1024,1024/0/default.jpg", Type: "Image", Format: "image/jpeg", Width: s.Width, Height: s.Height,
					Service: []any{imageService{s.Image, "ImageService3", "level2"}},
				},
			}}}},
		})
	}
	return m
}

func metadataOf(entries []Entry) []metadata {
	var list []metadata
	for _, e := range entries {
		if e.Value != "" {
			list = append(list, metadata{plain(e.Name), plain(e.Value)})
		}
	}
	return list
}
