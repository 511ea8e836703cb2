package tile

import (
	"context"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/slide"
)

// Profile returns the colour profile of the image, or nil if it has none. A profile that
// cannot be used says why. Errors are as those of [Image.View].
func (im *Image) Profile(ctx context.Context) (p *profile.Profile, err error) {
	return im.profileOf(ctx, im.File.Revision, (*slide.Slide).ICC)
}

// AssociatedProfile returns the colour profile of an associated image, like [Image.Profile].
func (im *Image) AssociatedProfile(ctx context.Context, kind string) (p *profile.Profile, err error) {
	return im.profileOf(ctx, im.File.Revision+" "+kind, func(s *slide.Slide) ([]byte, error) { return s.AssociatedICC(kind) })
}

func (im *Image) profileOf(ctx context.Context, key string, read func(*slide.Slide) ([]byte, error)) (p *profile.Profile, err error) {
	if p, ok := im.srv.profiles.Cached(key); ok {
		return p, nil
	}
	viewed := im.View(ctx, func(s *slide.Slide, _ Lease) error {
		p, err = im.srv.profiles.Of(key, s.Levels[0].Layout.Samples == 1, func() ([]byte, error) { return read(s) })
		return err
	})
	return p, viewed
}

// colored returns a tile with the profile of the image, or converted with it. Where there is
// nothing to convert, it is the tile as stored.
func (im *Image) colored(ctx context.Context, a *Address, match string) (Answer, error) {
	stored := *a
	stored.Color = AsStored
	if a.Color == UnknownColor {
		return Answer{}, ErrColor
	}
	if a.Revision != "" && a.Revision != im.File.Revision {
		return Answer{}, ErrOldRevision
	}
	p, err := im.Profile(ctx)
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		return Answer{}, err
	}
	if !p.Converts() {
		return im.Tile(ctx, &stored, match)
	}
	// The same blank tile has another profile in another slide.
	suffix := a.Color.suffix() + "-" + im.File.Revision + `"`
	ans, err := im.Tile(ctx, &stored, withoutSuffix(match, suffix))
	if err != nil {
		return Answer{}, err
	}
	ans.ETag = strings.TrimSuffix(ans.ETag, `"`) + suffix
	if ans.NotModified {
		return ans, nil
	}
	if a.Color == ToSRGB {
		return im.converted(ctx, ans, p)
	}
	return im.embedded(ans, p)
}

// suffix returns what the ETag of a tile with other colours ends with.
func (c Color) suffix() string {
	if c == ToSRGB {
		return "-srgb"
	}
	return "-embed"
}

// withoutSuffix returns those entity tags of an If-None-Match header that end with a suffix,
// without it.
func withoutSuffix(match, suffix string) string {
	var kept []string
	for tag := range strings.SplitSeq(match, ",") {
		tag = strings.TrimSpace(tag)
		if t, ok := strings.CutSuffix(tag, suffix); ok {
			kept = append(kept, t+`"`)
		} else if tag == "*" {
			kept = append(kept, tag)
		}
	}
	return strings.Join(kept, ", ")
}

// embedded returns an answer with the profile in its JPEG.
func (im *Image) embedded(ans Answer, p *profile.Profile) (Answer, error) {
	defer ans.Release()
	if im.srv.sending.Load() >= im.srv.o.MaxSending {
		return Answer{}, im.srv.full()
	}
	out := ans
	out.buf, out.held = buffers.Get().(*[]byte), 0
	out.Body = jpeg.AppendEmbedded((*out.buf)[:0], ans.Body, p.Bytes)
	*out.buf = out.Body
	out.hold(im.srv, int64(cap(out.Body)))
	return out, nil
}

// converted returns an answer with its pixels converted to sRGB.
func (im *Image) converted(ctx context.Context, ans Answer, p *profile.Profile) (Answer, error) {
	defer ans.Release()
	out := ans
	out.buf, out.held = nil, 0
	current := func() bool { return true } // the identity of the file was checked after the tile was read
	// The conversion may outlive the request, and the buffer of the answer be used again.
	body := append([]byte(nil), ans.Body...)
	var err error
	out.Body, err = im.srv.o.Convert(ctx, strings.Trim(ans.ETag, `"`), body, p.Table(), Lease{Store: im.File.Store.ID, Current: current})
	if err != nil {
		if !isTransient(err) {
			err = asUnreadable(err)
		}
		return Answer{}, err
	}
	out.hold(im.srv, int64(len(out.Body)))
	return out, nil
}
