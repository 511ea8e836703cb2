// Package profile reads the colour profiles of slides, decides whether their colours can and
// need to be converted, and keeps the tables that convert them.
package profile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// MaxBytes limits the profiles that are used. Those of scanners have up to some hundred KB.
	MaxBytes = 4 << 20
	// maxKept and maxKeptBytes limit what a [Cache] keeps: slides of a scanner share a
	// profile. A table has 0.3 MB.
	maxKept      = 64
	maxKeptBytes = 48 << 20
	// maxKnown limits the slides of which a [Cache] remembers the profile.
	maxKnown = 4096
)

// An Info says what is known about a profile.
type Info struct {
	Name    string `json:"name" doc:"Name that the profile gives itself; empty if it has none."`
	Class   string `json:"class" doc:"Class of device: scnr for scanners, mntr for displays; empty if it cannot be read."`
	Space   string `json:"space" doc:"Colour space of the pixels: RGB or GRAY; others cannot be used."`
	Version string `json:"version" doc:"Version of the ICC specification, such as 2.4.0."`
	Size    int    `json:"size" doc:"Size of the profile in bytes."`
	SRGB    bool   `json:"srgb" doc:"The colours are sRGB already: there is nothing to convert."`
	Usable  bool   `json:"usable" doc:"Colours can be converted with it."`
	Reason  string `json:"reason,omitempty" doc:"Why it cannot be used."`
	InTiles bool   `json:"in_tiles" doc:"The tiles carry a profile themselves (APP2), so browsers convert their colours unasked."`
}

// A Profile is the colour profile of a slide.
type Profile struct {
	Info
	// Bytes are those of the file, not to be modified; nil if they cannot be read or are
	// more than [MaxBytes].
	Bytes []byte
	table func() *icc.Table
}

// Converts reports whether the profile can be used, and makes a difference.
func (p *Profile) Converts() bool { return p != nil && p.Usable && !p.SRGB }

// Table returns the table that converts pixels to sRGB, computed with the first call. It must
// not be called unless Usable is set.
func (p *Profile) Table() *icc.Table { return p.table() }

// ErrUnusable is wrapped by the error of a profile that cannot be used.
var ErrUnusable = errors.New("the colour profile cannot be used")

// Err returns why the profile cannot be used, as an error that wraps [ErrUnusable], or nil.
func (p *Profile) Err() error {
	if p == nil || p.Usable {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnusable, p.Reason)
}

// Read returns the profile of a slide, or nil if it has none. A damaged profile is not an error:
// its Reason says so. It reads a tile. The error is that of reading the file.
func Read(s *slide.Slide) (*Profile, error) {
	b, err := s.ICC()
	p, err := found(b, err, len(b) > 0 && s.Levels[0].Layout.Samples == 1)
	if p == nil || err != nil {
		return nil, err
	}
	if inTiles, err := s.TileICC(); len(inTiles) > 0 || isDamaged(err) {
		p.InTiles = true
	}
	return p, nil
}

// found returns the profile in b. Err is that of reading it.
func found(b []byte, err error, gray bool) (*Profile, error) {
	switch {
	case isDamaged(err):
		return &Profile{Info: Info{Reason: "it is damaged: " + reason(err)}}, nil
	case err != nil || len(b) == 0:
		return nil, err
	}
	return evaluate(b, gray), nil
}

// isDamaged reports whether an error of reading a profile says that it is damaged.
func isDamaged(err error) bool {
	if err == nil {
		return false
	}
	_, format := errors.AsType[*tiff.FormatError](err)
	return format || errors.Is(err, slide.ErrProfile)
}

func reason(err error) string { return strings.TrimPrefix(err.Error(), "slide: ") }

// evaluate reads a profile. Gray tells that the pixels have one channel.
func evaluate(b []byte, gray bool) *Profile {
	h, err := icc.ReadHeader(b)
	p := &Profile{Bytes: b, Info: Info{Name: h.Name, Class: h.Class, Space: h.Space, Version: h.Version, Size: len(b)}}
	var parsed *icc.Profile
	switch {
	case err != nil:
	case len(b) > MaxBytes:
		p.Bytes = nil
		p.Reason = fmt.Sprintf("it has %d bytes, more than the %d that are supported", len(b), MaxBytes)
		return p
	default:
		parsed, err = icc.Parse(b)
	}
	if e, ok := errors.AsType[*icc.Error](err); ok {
		p.Reason = e.Msg
		return p
	} else if err != nil {
		p.Reason = err.Error()
		return p
	}
	if h.Space == "GRAY" && !gray {
		p.Reason = "it is for gray pixels, and the image has colours"
		return p
	}
	p.Usable, p.SRGB = true, parsed.SRGB()
	p.table = sync.OnceValue(parsed.Table)
	return p
}

// A Cache keeps the profiles of slides. The zero value is ready for use.
type Cache struct {
	mu       sync.Mutex
	known    map[string]digest   // of slides, by key
	profiles map[digest]*Profile // evaluated
	order    []digest            // of profiles, the most recently used last
	bytes    int                 // of profiles
	reading  singleflight.Group
}

// A digest identifies a profile; the zero value is that of slides without one.
type digest [sha256.Size]byte

// Of returns the profile that read returns, or nil if it returns none. It is read once for a key, such as
// the revision of an image, and evaluated once for all slides with the same profile.
func (c *Cache) Of(key string, gray bool, read func() ([]byte, error)) (*Profile, error) {
	if p, ok := c.Cached(key); ok {
		return p, nil
	}
	p, err, _ := c.reading.Do(key, func() (any, error) {
		if p, ok := c.Cached(key); ok {
			return p, nil
		}
		b, err := read()
		if isDamaged(err) {
			p, _ := found(nil, err, gray)
			return p, nil // not kept: finding it costs little
		}
		if err != nil {
			return (*Profile)(nil), err
		}
		return c.evaluated(key, b, gray), nil
	})
	return p.(*Profile), err
}

// Cached returns the profile of a key if it is known, which may be nil.
func (c *Cache) Cached(key string) (p *Profile, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.known[key]
	if !ok || d == (digest{}) {
		return nil, ok
	}
	if p, ok = c.profiles[d]; ok {
		c.use(d)
	}
	return p, ok
}

// evaluated returns the profile with these bytes.
func (c *Cache) evaluated(key string, b []byte, gray bool) *Profile {
	var d digest
	if len(b) > 0 {
		d = sha256.Sum256(b)
		if gray {
			d[0] ^= 0xff
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxKnown {
		c.known = map[string]digest{}
	}
	c.known[key] = d
	if len(b) == 0 {
		return nil
	}
	if p := c.profiles[d]; p != nil {
		c.use(d)
		return p
	}
	c.mu.Unlock()
	p := evaluate(b, gray)
	c.mu.Lock()
	if c.profiles == nil {
		c.profiles = map[digest]*Profile{}
	}
	if other := c.profiles[d]; other != nil { // of another slide, meanwhile
		c.use(d)
		return other
	}
	c.profiles[d] = p
	c.order = append(c.order, d)
	c.bytes += len(p.Bytes)
	for len(c.order) > maxKept || c.bytes > maxKeptBytes {
		c.bytes -= len(c.profiles[c.order[0]].Bytes)
		delete(c.profiles, c.order[0])
		c.order = c.order[1:]
	}
	return p
}

// use makes a profile the most recently used one. The caller must hold mu.
func (c *Cache) use(d digest) {
	last := len(c.order) - 1
	if c.order[last] == d {
		return
	}
	for i, o := range c.order {
		if o == d {
			copy(c.order[i:], c.order[i+1:])
			c.order[last] = d
			return
		}
	}
}
