package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	sharePrefix = "psl_"
	visitPrefix = "psv_"

	// ShareShortest and ShareLongest limit the lifetime of a link.
	ShareShortest = time.Hour
	ShareLongest  = 366 * 24 * time.Hour
	// ShareImages is the maximum number of images of a link.
	ShareImages = 200
	// VisitLife is how long a browser that has opened a link may show its images without
	// opening it again.
	VisitLife = 24 * time.Hour
	// VisitsInCookie is the maximum number of links that one browser has open; another one
	// replaces the first.
	VisitsInCookie = 8

	sharesMost = 1000 // per user; revoked and expired links count until they are deleted
	visitsMost = 1000 // per link; the oldest are deleted
	shareKept  = 90 * 24 * time.Hour
)

var (
	// ErrPasswordNeeded: the secret is right, and the link also has a password.
	ErrPasswordNeeded = errors.New("the link needs its password")
	// shareLimit limits the passwords that are tried for one link, and shareAddressLimit
	// those from one address, for all links. All servers of a database count together.
	shareLimit        = limit{free: 10, most: 5 * time.Minute, fade: 5 * time.Minute}
	shareAddressLimit = limit{free: 20, most: 15 * time.Minute, fade: time.Minute}
)

// Shares are the links that show images to people without a login.
type Shares struct{ *handle }

// A Share is a link to the images of its creation. People who have its secret see them as
// long as its creator may.
type Share struct {
	ID        string     `json:"id"` // not secret
	User      string     `json:"user"`
	Title     string     `json:"title"`
	Kind      ShareKind  `json:"kind"`
	Labels    bool       `json:"with_labels"` // also shows labels and names
	Password  bool       `json:"password"`    // whether it has one
	Images    []string   `json:"images"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	Views     int64      `json:"views"`
	ViewedAt  *time.Time `json:"viewed_at"` // the last time
}

// A ShareKind is what a link was made from.
type ShareKind string

// The kinds.
const (
	ShareSlides ShareKind = "slides"
	ShareCase   ShareKind = "case"
)

// Active reports whether the link has neither expired nor been revoked.
func (s *Share) Active(now time.Time) bool { return s.RevokedAt == nil && now.Before(s.ExpiresAt) }

// Has reports whether the link is for an image.
func (s *Share) Has(image string) bool { return slices.Contains(s.Images, image) }

const shareColumns = `s.id, s.user_id, s.title, s.kind, s.with_labels, s.password <> '', s.created_at, s.expires_at, s.revoked_at, s.views, s.viewed_at`

func (s *Share) fields() []any {
	return []any{&s.ID, &s.User, &s.Title, &s.Kind, &s.Labels, &s.Password, moment{&s.CreatedAt}, moment{&s.ExpiresAt}, stamp{&s.RevokedAt}, &s.Views, stamp{&s.ViewedAt}}
}

func scanShare(r row) (Share, error) {
	var s Share
	err := r.Scan(s.fields()...)
	return s, err
}

// Add creates a link with the User, Title, Kind, Labels, Images and ExpiresAt of s, and
// returns its secret, which is not stored. An empty text means no password. The caller checks that
// the user may see the images. The error is [ErrNotFound] or [ErrInvalid].
func (ss *Shares) Add(ctx context.Context, s Share, password string) (secret string, made *Share, err error) {
	if err := s.check(); err != nil {
		return "", nil, err
	}
	if err := checkSharePassword(password); err != nil {
		return "", nil, err
	}
	hash := ""
	if password != "" {
		if hash, err = ss.passwords.hash(ctx, password); err != nil {
			return "", nil, err
		}
	}
	secret = newSecret(sharePrefix)
	err = ss.change(ctx, func(t *tx) error {
		if d := s.ExpiresAt.Sub(t.now); d < ShareShortest-time.Minute || d > ShareLongest {
			return invalid("a share link lasts from 1 hour to 366 days")
		}
		if _, err := t.user(ctx, s.User); err != nil {
			return err
		}
		if err := t.dropShares(ctx, s.User); err != nil {
			return err
		}
		s.ID, s.CreatedAt, s.ExpiresAt = catalog.NewID(), t.now, s.ExpiresAt.UTC().Truncate(time.Microsecond)
		s.Password, s.RevokedAt, s.Views, s.ViewedAt = hash != "", nil, 0, nil
		if _, err := t.exec(ctx, "share link", `INSERT INTO shares (id, secret, user_id, title, kind, with_labels, password, created_at, expires_at, views)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)`,
			s.ID, hashSecret(secret), s.User, s.Title, s.Kind, s.Labels, hash, t.now.UnixMicro(), s.ExpiresAt.UnixMicro()); err != nil {
			return err
		}
		for i, image := range s.Images {
			if _, err := t.exec(ctx, "share link", `INSERT INTO share_images (share_id, place, image) VALUES ($1, $2, $3)`, s.ID, i, image); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	return secret, &s, nil
}

// check checks what the creator has given.
func (s *Share) check() (err error) {
	if s.Kind != ShareSlides && s.Kind != ShareCase {
		return invalid("the kind of a share link is slides or case")
	}
	if n := len(s.Images); n == 0 || n > ShareImages {
		return invalid("a share link is for 1 to %d slides, not %d", ShareImages, n)
	}
	seen := map[string]bool{}
	for _, id := range s.Images {
		if id == "" || len(id) > 64 || seen[id] {
			return invalid("the ids of the slides must be valid, and different")
		}
		seen[id] = true
	}
	s.Title, err = checkText("title", s.Title, 200)
	return err
}

func checkSharePassword(password string) error {
	switch {
	case password == "":
		return nil
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return invalid("the password is too long or not valid text")
	case utf8.RuneCountInString(password) < 8:
		return invalid("the password of a share link needs at least 8 characters")
	}
	return nil
}

// dropShares deletes links that ended long ago, and returns an error if the user has too many.
func (t *tx) dropShares(ctx context.Context, user string) error {
	old := t.now.Add(-shareKept).UnixMicro()
	if err := t.execAll(ctx, "share links", []any{old},
		`DELETE FROM share_images WHERE share_id IN (SELECT id FROM shares WHERE expires_at <= $1)`,
		`DELETE FROM shares WHERE expires_at <= $1`); err != nil {
		return err
	}
	var has int
	if err := t.QueryRowContext(ctx, `SELECT count(*) FROM shares WHERE user_id = $1`, user).Scan(&has); err != nil {
		return wrap(err, "share links")
	}
	if has >= sharesMost {
		return invalid("the user has %d share links: wait until old ones are deleted, %d days after their end", has, shareKept/(24*time.Hour))
	}
	return nil
}

// List returns the links of a user, or of all users if user is empty, newest first, at most
// 1000.
func (ss *Shares) List(ctx context.Context, user string) ([]Share, error) {
	list, err := all(ctx, ss.read, scanShare, "share links", `SELECT `+shareColumns+` FROM shares s WHERE $1 = '' OR s.user_id = $1
		ORDER BY s.created_at DESC, s.id LIMIT 1000`, user)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := ss.addImages(ctx, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Get returns the link of that id, or [ErrNotFound].
func (ss *Shares) Get(ctx context.Context, id string) (*Share, error) {
	s, err := one(ctx, ss.read, scanShare, "share link", `SELECT `+shareColumns+` FROM shares s WHERE s.id = $1`, id)
	if err != nil {
		return nil, err
	}
	return s, ss.addImages(ctx, s)
}

func (ss *Shares) addImages(ctx context.Context, s *Share) (err error) {
	s.Images, err = all(ctx, ss.read, scanText, "share link", `SELECT image FROM share_images WHERE share_id = $1 ORDER BY place`, s.ID)
	return err
}

// Revoke ends a link; it stays in lists. The error is [ErrNotFound]. Revoking it again
// changes nothing.
func (ss *Shares) Revoke(ctx context.Context, id string) error {
	return ss.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "share link", `UPDATE shares SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1`, id, t.now.UnixMicro())
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: share link", ErrNotFound)
		}
		if _, err := t.exec(ctx, "share link", `DELETE FROM share_visits WHERE share_id = $1`, id); err != nil {
			return err
		}
		return t.revoke(ctx, RevokeSession, id) // also known to servers that know no share links
	})
}

// Open exchanges the secret of a link for that of a visit, for the browser's cookie. Address
// is the client's address. The error is [ErrBadSecret] if there is no such link, the secret is
// wrong, the link has ended, or its creator is disabled, without saying which; and only then
// [ErrPasswordNeeded], [ErrWrongPassword] or a [*LimitError].
func (ss *Shares) Open(ctx context.Context, id, secret, password, address string) (visit string, s *Share, err error) {
	var kept []byte
	var disabled bool
	var hash string
	s = new(Share)
	row := ss.read.QueryRowContext(ctx, `SELECT `+shareColumns+`, s.secret, s.password, u.disabled FROM shares s JOIN users u ON u.id = s.user_id WHERE s.id = $1`, id)
	if err := wrap(row.Scan(append(s.fields(), &kept, &hash, &disabled)...), "share link"); errors.Is(err, ErrNotFound) {
		return "", nil, ErrBadSecret
	} else if err != nil {
		return "", nil, err
	}
	if subtle.ConstantTimeCompare(kept, hashSecret(secret)) != 1 || disabled || !s.Active(ss.now()) {
		return "", nil, ErrBadSecret
	}
	if hash != "" {
		if err := ss.checkPassword(ctx, id, hash, password, address); err != nil {
			return "", nil, err
		}
	}
	if err := ss.addImages(ctx, s); err != nil {
		return "", nil, err
	}
	visit, err = ss.visit(ctx, s)
	return visit, s, err
}

// checkPassword checks a password of a link. Each attempt counts as a failure until it
// succeeds, for the link and for the address.
func (ss *Shares) checkPassword(ctx context.Context, id, hash, password, address string) error {
	if password == "" {
		return ErrPasswordNeeded
	}
	l := &Logins{ss.handle}
	at := attempt{limitKey("share", id), limitKey("share address", network(address))}
	if err := l.beginWithin(ctx, at, shareLimit, shareAddressLimit); err != nil {
		return err
	}
	if !utf8.ValidString(password) || len(password) > maxPassword {
		return ErrWrongPassword
	}
	right, err := ss.passwords.matches(ctx, hash, password)
	switch {
	case err != nil: // the hash was not computed
		return errors.Join(err, l.withdraw(ctx, at))
	case !right:
		return ErrWrongPassword
	}
	return l.withdraw(ctx, at) // the other failures of the link stay: they are of other people
}

// visit starts a visit, unless the link has ended meanwhile.
func (ss *Shares) visit(ctx context.Context, s *Share) (secret string, err error) {
	secret = newSecret(visitPrefix)
	err = ss.change(ctx, func(t *tx) error {
		var active bool
		if err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM shares WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2)`, s.ID, t.now.UnixMicro()).Scan(&active); err != nil {
			return wrap(err, "share link")
		}
		if !active {
			return ErrBadSecret
		}
		if _, err := t.exec(ctx, "share link", `DELETE FROM share_visits WHERE expires_at <= $1`, t.now.UnixMicro()); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "share link", `DELETE FROM share_visits WHERE secret IN (
			SELECT secret FROM share_visits WHERE share_id = $1 ORDER BY created_at DESC LIMIT 1000 OFFSET $2)`, s.ID, visitsMost-1); err != nil {
			return err
		}
		ends := t.now.Add(VisitLife)
		if s.ExpiresAt.Before(ends) {
			ends = s.ExpiresAt
		}
		_, err := t.exec(ctx, "share link", `INSERT INTO share_visits (secret, share_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`,
			hashSecret(secret), s.ID, t.now.UnixMicro(), ends.UnixMicro())
		return err
	})
	return secret, err
}

// Visited returns the active links of the visits in a cookie, whose creators are not
// disabled; nil without any.
func (ss *Shares) Visited(ctx context.Context, cookie string) ([]Share, error) {
	now := ss.now()
	var list []Share
	for _, secret := range visitsOf(cookie) {
		s, err := one(ctx, ss.read, scanShare, "share link", `SELECT `+shareColumns+` FROM share_visits v
			JOIN shares s ON s.id = v.share_id JOIN users u ON u.id = s.user_id
			WHERE v.secret = $1 AND v.expires_at > $2 AND NOT u.disabled`, hashSecret(secret), now.UnixMicro())
		if errors.Is(err, ErrNotFound) || err == nil && (!s.Active(now) || slices.ContainsFunc(list, func(o Share) bool { return o.ID == s.ID })) {
			continue
		}
		if err == nil {
			err = ss.addImages(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, *s)
	}
	return list, nil
}

// visitsOf returns the secrets of the visits in a cookie.
func visitsOf(cookie string) []string {
	list := strings.SplitN(cookie, ".", VisitsInCookie+1)
	list = list[:min(len(list), VisitsInCookie)]
	return slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, visitPrefix) || len(s) > 64 })
}

// WithVisit adds the secret of a visit to a cookie.
func WithVisit(cookie, secret string) string {
	list := append([]string{secret}, visitsOf(cookie)...)
	return strings.Join(list[:min(len(list), VisitsInCookie)], ".")
}

// Viewed counts a view of a link.
func (ss *Shares) Viewed(ctx context.Context, id string) error {
	return ss.db.Retry(ctx, func() error {
		_, err := ss.write.ExecContext(ctx, `UPDATE shares SET views = views + 1, viewed_at = $2 WHERE id = $1`, id, ss.now().UnixMicro())
		return wrap(err, "share link")
	})
}
