package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// imageFields are the fields of an image that users can change, unlike properties of its
// file.
type imageFields struct {
	ExternalID optional[string] `json:"external_id,omitempty" doc:"Id of the image in another application, at most 200 visible characters. Requests to a central server contain it. null removes it."`
	Label      optional[string] `json:"label,omitempty" doc:"Label of the image, at most 200 characters. null removes it."`
	Accession  optional[string] `json:"accession,omitempty" doc:"Accession number of its case, at most 200 characters. null is what the pattern of the store finds, also for the following."`
	Part       optional[string] `json:"part,omitempty" doc:"Part (specimen) in its case, at most 200 characters."`
	Block      optional[string] `json:"block,omitempty" doc:"Block in its case, at most 200 characters."`
	Stain      optional[string] `json:"stain,omitempty" doc:"Stain, at most 200 characters."`
}

// names returns the names of the fields that are given.
func (f *imageFields) names() []string {
	var names []string
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"external_id", f.ExternalID.Given},
		{"label", f.Label.Given},
		{"accession", f.Accession.Given},
		{"part", f.Part.Given},
		{"block", f.Block.Given},
		{"stain", f.Stain.Given},
	} {
		if field.given {
			names = append(names, field.name)
		}
	}
	return names
}

// caseFields are the names of a case that users can set. Without a pattern the name that was set
// stays in the description, so it is removed as well.
var caseFields = []struct {
	name  string
	to    func(*catalog.Image) **string
	found func(*catalog.Image) *string
}{
	{"accession", func(im *catalog.Image) **string { return &im.Corrected.Accession }, func(im *catalog.Image) *string { return &im.Names.Accession }},
	{"part", func(im *catalog.Image) **string { return &im.Corrected.Part }, func(im *catalog.Image) *string { return &im.Names.Part }},
	{"block", func(im *catalog.Image) **string { return &im.Corrected.Block }, func(im *catalog.Image) *string { return &im.Names.Block }},
	{"stain", func(im *catalog.Image) **string { return &im.Corrected.Stain }, func(im *catalog.Image) *string { return &im.Names.Stain }},
}

// textMost is the maximum length of a text field, in characters.
const textMost = 200

// edit returns a function that changes an image, or all errors in the fields.
func (f *imageFields) edit() (func(*catalog.Image) error, error) {
	var set []func(*catalog.Image)
	var errs []error
	type field struct {
		name  string
		given optional[string]
		to    func(*catalog.Image) **string
	}
	fields := []field{
		{"external_id", f.ExternalID, func(im *catalog.Image) **string { return &im.ExternalID }},
		{"label", f.Label, func(im *catalog.Image) **string { return &im.Label }},
	}
	for i, given := range []optional[string]{f.Accession, f.Part, f.Block, f.Stain} {
		of := caseFields[i]
		fields = append(fields, field{of.name, given, of.to})
		if given.Given && given.Null {
			set = append(set, func(im *catalog.Image) { *of.found(im) = "" })
		}
	}
	for _, one := range fields {
		switch {
		case !one.given.Given:
			continue
		case !one.given.Null:
			if err := checkText(one.given.Value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", one.name, err))
				continue
			}
		}
		set = append(set, func(im *catalog.Image) {
			if *one.to(im) = nil; !one.given.Null {
				*one.to(im) = &one.given.Value
			}
		})
	}
	return func(im *catalog.Image) error {
		if im.DeletedAt != nil {
			return catalog.ErrNotFound
		}
		for _, s := range set {
			s(im)
		}
		return nil
	}, errors.Join(errs...)
}

// checkText returns an error unless s is a single line without control and formatting
// characters and without spaces at the ends, so that it can't be mistaken for another
// text.
func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("give some text, or null to remove it")
	case !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError):
		return errors.New("it is not valid UTF-8")
	case utf8.RuneCountInString(s) > textMost:
		return fmt.Errorf("at most %d characters", textMost)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("use one line of visible characters and spaces")
	case strings.TrimSpace(s) != s:
		return errors.New("remove the spaces at the beginning and end")
	}
	return nil
}

// EditImage changes an image by a JSON merge patch, as PATCH does. Errors of the patch
// are sentences.
func EditImage(im *catalog.Image, patch []byte) error {
	var f imageFields
	if err := strictjson.Unmarshal(patch, &f); err != nil {
		return fmt.Errorf("fields of an image: %w", err)
	}
	edit, err := f.edit()
	if err != nil {
		return err
	}
	return edit(im)
}

// DescribeImage returns the JSON representation of an image for a caller who may see all
// of it. Mode is that of its store.
func DescribeImage(im *catalog.Image, mode catalog.Mode) any { return newImage(im, mode, "") }

type editImageInput struct {
	Image string `path:"image" doc:"Id of the image."`
	Body  imageFields
}

func (a imageAPI) edit(ctx context.Context, in *editImageInput) (*imageOutput, error) {
	edit, err := in.Body.edit()
	if err != nil {
		return nil, newError(http.StatusUnprocessableEntity, "", splitErrors(err)...)
	}
	was, err := a.Catalog.Images.Get(ctx, in.Image)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if len(in.Body.names()) > 0 {
		im, err := a.Catalog.Images.Update(ctx, was.ID, edit)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		if a.mode() == modeCentral && !sameText(was.ExternalID, im.ExternalID) {
			// Decisions were cached for the previous external id.
			a.Access.Gate.Revoke(account.Revocation{Kind: account.RevokeImage, ID: im.ID})
		}
		callerOf(ctx).detail = strings.Join(in.Body.names(), ", ")
	}
	return a.get(ctx, &imagePath{in.Image})
}

func sameText(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}
