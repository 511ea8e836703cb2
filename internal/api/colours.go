package api

import (
	"errors"
	"fmt"
	pixels "image"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/slide"
)

// colours are what is done with the colour profile of a slide in a picture that is drawn. A
// nil colours does nothing.
type colours struct {
	table    *icc.Table // converts to sRGB; nil if nothing is to be converted
	embedded []byte     // the profile to embed; nil for none
}

// coloursOf returns what a request asks to be done with the profile of a slide.
func coloursOf(s *slide.Slide, mode region.Colour) (*colours, error) {
	if mode == region.AsStored {
		return nil, nil
	}
	b, err := s.ICC()
	if err != nil {
		return nil, badProfile(err)
	}
	if b == nil {
		return nil, nil
	}
	if mode == region.Embed {
		return &colours{embedded: b}, nil
	}
	p, err := icc.Parse(b)
	if err != nil {
		return nil, badProfile(err)
	}
	if p.SRGB() {
		return nil, nil
	}
	return &colours{table: p.Table()}, nil
}

// badProfile returns the answer if a colour profile cannot be used.
func badProfile(err error) error {
	detail := "The colour profile of the image cannot be read: request it without icc."
	if e, ok := errors.AsType[*icc.Error](err); ok {
		detail = fmt.Sprintf("%s. Request the image without icc.", sentence(e)[:len(sentence(e))-1])
	}
	return &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: detail, Err: err}
}

// converts reports whether pixels are converted.
func (c *colours) converts() bool { return c != nil && c.table != nil }

// apply converts pixels.
func (c *colours) apply(img *pixels.RGBA) {
	if c.converts() {
		c.table.Convert(img.Pix, img.Pix)
	}
}

// embed returns the first bytes of a JPEG with the profile.
func (c *colours) embed(b []byte) []byte {
	if c == nil || c.embedded == nil {
		return b
	}
	return jpeg.Embed(b, c.embedded)
}

// profile returns the profile to embed, or nil.
func (c *colours) profile() []byte {
	if c == nil {
		return nil
	}
	return c.embedded
}
