package iiif

import "fmt"

// A Size is a size at which the complete image is available, in pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Tiles describes the tiles of an image.
type Tiles struct {
	Width        int   `json:"width"`
	Height       int   `json:"height,omitempty"`
	ScaleFactors []int `json:"scaleFactors"`
}

// info3 is the description of version 3, section 5.
type info3 struct {
	Context        string   `json:"@context"`
	ID             string   `json:"id"`
	Type           string   `json:"type"`
	Protocol       string   `json:"protocol"`
	Profile        string   `json:"profile"`
	Width          int      `json:"width"`
	Height         int      `json:"height"`
	MaxWidth       int      `json:"maxWidth"`
	MaxHeight      int      `json:"maxHeight"`
	Sizes          []Size   `json:"sizes"`
	Tiles          []Tiles  `json:"tiles"`
	ExtraQualities []string `json:"extraQualities"`
	ExtraFeatures  []string `json:"extraFeatures"`
	Service        []any    `json:"service,omitempty"`
}

// info2 is the description of version 2, section 5. The profile is a list of a URL and of
// the supported features beyond it.
type info2 struct {
	Context  string  `json:"@context"`
	ID       string  `json:"@id"`
	Protocol string  `json:"protocol"`
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Sizes    []Size  `json:"sizes"`
	Tiles    []Tiles `json:"tiles"`
	Profile  []any   `json:"profile"`
}

type more2 struct {
	Formats   []string `json:"formats"`
	Qualities []string `json:"qualities"`
	Supports  []string `json:"supports"`
	MaxWidth  int      `json:"maxWidth"`
	MaxHeight int      `json:"maxHeight"`
}

const protocol = "http://iiif.io/api/image"

// Info returns the description of an image, to be encoded as info.json. ID is the URL of
// the image.
func Info(version int, id string, p Image) any {
	sizes, tiles := p.sizes(), []Tiles{p.tiles()}
	context := Context(version)
	if version == V2 {
		return info2{
			Context: context, ID: id, Protocol: protocol, Width: p.Width, Height: p.Height, Sizes: sizes, Tiles: tiles,
			Profile: []any{ProfileURL(V2), more2{
				Formats: []string{"jpg", "png"}, Qualities: []string{"default", "color", "gray", "bitonal"},
				Supports: []string{"mirroring", "regionSquare", "sizeByConfinedWh", "profileLinkHeader"}, MaxWidth: MaxSide, MaxHeight: MaxSide,
			}},
		}
	}
	return info3{
		Context: context, ID: id, Type: "ImageService3", Protocol: protocol, Profile: "level2", Width: p.Width, Height: p.Height,
		MaxWidth: MaxSide, MaxHeight: MaxSide, Sizes: sizes, Tiles: tiles,
		ExtraQualities: []string{"color", "gray", "bitonal"}, ExtraFeatures: []string{"mirroring", "profileLinkHeader"}, Service: scaleOf(p.MPP),
	}
}

// Context returns the URL of the JSON-LD context of a version.
func Context(version int) string {
	return fmt.Sprintf("%s/%d/context.json", protocol, version)
}

// ProfileURL returns the URL of compliance level 2 of a version, for links.
func ProfileURL(version int) string {
	return fmt.Sprintf("%s/%d/level2.json", protocol, version)
}

// preferredSide is the longest side of the sizes in a description: viewers take one of them for
// a picture of the entire image.
const preferredSide = 2048

// sizes returns the sizes of the halved images, smallest first.
func (p Image) sizes() []Size {
	list := []Size{}
	for k := p.Zooms - 1; k >= 0; k-- {
		if s := (Size{ceilShift(p.Width, k), ceilShift(p.Height, k)}); max(s.Width, s.Height) <= preferredSide {
			list = append(list, s)
		}
	}
	return list
}

func (p Image) tiles() Tiles {
	t := Tiles{Width: p.TileWidth, Height: p.TileHeight}
	for k := range p.Zooms {
		t.ScaleFactors = append(t.ScaleFactors, 1<<k)
	}
	return t
}
