package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

const (
	// MinPassword is the minimum length of a password, in characters.
	MinPassword = 12
	// maxPassword is the maximum length of a password, in bytes.
	maxPassword = 1024

	hashesAtOnce  = 2  // each needs PasswordCost.Memory
	hashesWaiting = 64 // running and waiting; further ones are refused
	saltLength    = 16
	hashLength    = 32
)

// A PasswordCost is the cost of an argon2id hash of a password. Each hash stores its own
// cost; a cheaper one is replaced when the user logs in.
type PasswordCost struct {
	Memory  uint32 // in KiB; 65536, which is 64 MiB, if 0
	Passes  uint32 // 3 if 0
	Threads uint8  // 4 if 0
}

func (c PasswordCost) withDefaults() PasswordCost {
	if c.Memory == 0 {
		c.Memory = 64 << 10
	}
	if c.Passes == 0 {
		c.Passes = 3
	}
	if c.Threads == 0 {
		c.Threads = 4
	}
	return c
}

// checkPassword returns [ErrInvalid] if the password is not allowed for that user.
func checkPassword(user, password string) error {
	switch {
	case !utf8.ValidString(password):
		return invalid("the password is not UTF-8")
	case len(password) > maxPassword:
		return invalid("the password is longer than %d bytes", maxPassword)
	case utf8.RuneCountInString(password) < MinPassword:
		return invalid("the password has fewer than %d characters", MinPassword)
	case fold(password) == fold(user):
		return invalid("the password is the user's name")
	}
	return nil
}

// passwords computes hashes of passwords, a limited number at a time.
type passwords struct {
	cost    PasswordCost  // of new hashes
	hashing chan struct{} // holds a value for each running hash
	waiting chan struct{} // holds a value for each running or waiting hash

	once  sync.Once
	dummy string // hash that is checked for unknown users
}

func newPasswords(cost PasswordCost) *passwords {
	return &passwords{cost: cost, hashing: make(chan struct{}, hashesAtOnce), waiting: make(chan struct{}, hashesWaiting)}
}

// forUser returns the hash of a password that is allowed for the user of that name;
// the hash of an empty password is empty.
func (p *passwords) forUser(ctx context.Context, user, password string) (string, error) {
	if _, err := checkName("user", user); err != nil { // before computing a hash
		return "", err
	}
	if password == "" {
		return "", nil
	}
	if err := checkPassword(user, password); err != nil {
		return "", err
	}
	return p.hash(ctx, password)
}

// hash returns the hash of a password in the standard form,
// $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	cost := p.cost
	key, err := p.argon2id(ctx, password, salt, cost, hashLength)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, cost.Memory, cost.Passes, cost.Threads,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// matches reports whether hash is the hash of the password.
func (p *passwords) matches(ctx context.Context, hash, password string) (bool, error) {
	cost, salt, want, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	got, err := p.argon2id(ctx, password, salt, cost, uint32(len(want))) //nolint:gosec // limited by parseHash
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// argon2id computes a hash, at most [hashesAtOnce] at a time. It normalizes the
// password's Unicode, because keyboards differ. If too many are waiting the error is a
// [*LimitError].
func (p *passwords) argon2id(ctx context.Context, password string, salt []byte, cost PasswordCost, length uint32) ([]byte, error) {
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return nil, &LimitError{Wait: 2 * time.Second}
	}
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey(norm.NFKC.Bytes([]byte(password)), salt, cost.Passes, cost.Memory, cost.Threads, length), nil
}

var errHash = errors.New("a password hash in the database is damaged: set the password again")

// parseHash parses a hash, and limits its cost before anything is computed.
func parseHash(hash string) (cost PasswordCost, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return cost, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.Memory, &cost.Passes, &cost.Threads); err != nil {
		return cost, nil, nil, errHash
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 ||
		cost.Memory < 8 || cost.Memory > 1<<20 || cost.Passes < 1 || cost.Passes > 100 || cost.Threads < 1 {
		return cost, nil, nil, errHash
	}
	return cost, salt, key, nil
}

// cheaper reports whether a hash has a lower cost than new ones.
func (p *passwords) cheaper(hash string) bool {
	cost, _, _, err := parseHash(hash)
	return err == nil && (cost.Memory < p.cost.Memory || cost.Passes < p.cost.Passes)
}

// dummyHash is checked for unknown users, so that response times do not reveal which
// users exist.
func (p *passwords) dummyHash() string {
	p.once.Do(func() {
		b64 := base64.RawStdEncoding
		salt, key := make([]byte, saltLength), make([]byte, hashLength)
		rand.Read(salt)
		rand.Read(key)
		cost := p.cost
		p.dummy = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, cost.Memory, cost.Passes, cost.Threads,
			b64.EncodeToString(salt), b64.EncodeToString(key))
	})
	return p.dummy
}
