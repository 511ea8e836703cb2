package api

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
)

// A Viewer is a DICOM viewer elsewhere that opens slides of this server.
type Viewer struct {
	Name string
	URL  string // template, see [ParseViewers]
}

// A viewerLink is a link to a slide in another viewer.
type viewerLink struct {
	Name string `json:"name" example:"Slim" doc:"Name of the viewer, as configured."`
	URL  string `json:"url" doc:"Where it shows this slide."`
}

const (
	maxViewers    = 16
	maxViewerName = 40
	maxViewerURL  = 2000
)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// placeholders are those of templates.
var placeholders = []string{"{dicomweb}", "{image}", "{series}", "{server}", "{study}"}

// ParseViewers parses viewers that are written "NAME=URL". The URL is a template: {study} and
// {series} stand for the UIDs of a slide, {image} for its id, {server} for the public URL of this
// server, and {dicomweb} for that of its DICOMweb service. The values are escaped. It begins with
// http://, https:// or, for a page of this host, with a slash.
func ParseViewers(list []string, publicURL string) ([]Viewer, error) {
	if len(list) > maxViewers {
		return nil, fmt.Errorf("has %d viewers: %d are possible", len(list), maxViewers)
	}
	var viewers []Viewer
	for _, text := range list {
		name, template, _ := strings.Cut(text, "=")
		v := Viewer{strings.TrimSpace(name), strings.TrimSpace(template)}
		if v.Name == "" || len(v.Name) > maxViewerName || slices.ContainsFunc(viewers, func(w Viewer) bool { return w.Name == v.Name }) {
			return nil, fmt.Errorf("%q: each viewer needs a name of its own, of up to %d characters", v.Name, maxViewerName)
		}
		if err := v.check(publicURL); err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
		viewers = append(viewers, v)
	}
	return viewers, nil
}

// check checks the template.
func (v *Viewer) check(publicURL string) error {
	for _, p := range placeholder.FindAllString(v.URL, -1) {
		if !slices.Contains(placeholders, p) {
			return fmt.Errorf("%s is not known in an address: use %s", p, strings.Join(placeholders, ", "))
		}
	}
	if publicURL == "" && (strings.Contains(v.URL, "{dicomweb}") || strings.Contains(v.URL, "{server}")) {
		return fmt.Errorf("{dicomweb} and {server} need the public URL of this server: set public_url")
	}
	u, err := url.Parse(placeholder.ReplaceAllString(v.URL, "placeholder"))
	switch {
	case err != nil || len(v.URL) > maxViewerURL || strings.ContainsAny(v.URL, " \t\r\n\"'<>\\^`|"),
		!(u.Scheme == "https" || u.Scheme == "http") && !(u.Scheme == "" && strings.HasPrefix(v.URL, "/") && !strings.HasPrefix(v.URL, "//")),
		u.Scheme != "" && u.Host == "", strings.Contains(u.Host, "placeholder"):
		return fmt.Errorf("%q is not an address such as https://slim.example.org/studies/{study}/series/{series}", v.URL)
	case u.User != nil:
		return fmt.Errorf("the address has a user or password, which everybody would see")
	case !strings.Contains(v.URL, "{study}") && !strings.Contains(v.URL, "{series}") && !strings.Contains(v.URL, "{image}"):
		return fmt.Errorf("the address names no slide: use {study}, {series} or {image} in it")
	}
	return nil
}

// viewerLinks returns the links of an image. It has none if DICOMweb does not show the image: its size
// of a pixel is unknown. A series of DICOM files keeps its identifiers.
func (a *API) viewerLinks(im *catalog.Image) []viewerLink {
	links := []viewerLink{}
	if !dicomweb.IsShown(im) {
		return links
	}
	study, series := dicomweb.UIDs(im)
	server := strings.TrimSuffix(a.PublicURL, "/")
	values := strings.NewReplacer(
		"{study}", url.QueryEscape(study), "{series}", url.QueryEscape(series), "{image}", url.QueryEscape(im.ID),
		"{server}", url.QueryEscape(server), "{dicomweb}", url.QueryEscape(server+dicomweb.Prefix),
	)
	for _, v := range a.Viewers {
		links = append(links, viewerLink{v.Name, values.Replace(v.URL)})
	}
	return links
}
