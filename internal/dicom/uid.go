package dicom

import (
	"crypto/sha256"
	"math/big"
	"strings"
)

// UID derives a unique identifier from names: always the same one from the same names. It is a
// UUID of version 8 as a decimal number below 2.25 (PS3.5 section B.2, RFC 9562), of at most
// 44 characters.
func UID(names ...string) string { return uuid(hash(names)) }

// hash returns 128 bits of the hash of names.
func hash(names []string) (b [16]byte) {
	h := sha256.New()
	for _, s := range names {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	copy(b[:], h.Sum(nil))
	return b
}

// root is the arc of identifiers that are UUIDs.
const root = "2.25."

// uuid returns the identifier of 128 bits, of which it sets the version and the variant.
func uuid(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return root + new(big.Int).SetBytes(b[:]).String()
}

// Ids of images are 128 random bits in base 32. An identifier derived from one has their first
// 60 bits, those of idPrefix characters, so that a server finds the image of an identifier
// without an index of identifiers.
const (
	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	idLength   = 26
	idPrefix   = 12
)

// ImageUID derives the identifier of something of a catalogued image, which names tell apart. It
// begins with 60 bits of the id, which [ImagePrefix] returns; the other 62 are a hash of id and
// names. Of an id in another form than those of the catalog, all bits are hashed.
func ImageUID(id string, names ...string) string {
	b := hash(append([]string{"ptiffstore", id}, names...))
	bits, ok := prefixBits(id)
	if !ok {
		return uuid(b)
	}
	for i := range 6 {
		b[i] = byte(bits >> (52 - 8*i))
	}
	b[6], b[7] = byte(bits>>8), byte(bits) // uuid replaces the upper half of byte 6
	return uuid(b)
}

// prefixBits returns the first 60 bits of an id.
func prefixBits(id string) (bits uint64, ok bool) {
	if len(id) != idLength {
		return 0, false
	}
	for i := range len(id) {
		v := strings.IndexByte(idAlphabet, id[i])
		if v < 0 {
			return 0, false
		}
		if i < idPrefix {
			bits = bits<<5 | uint64(v)
		}
	}
	return bits, true
}

// ImagePrefix returns the first characters of the id of the image that an identifier was derived
// from. Any other identifier of a UUID of version 8 has such characters too: derive the
// identifier of the image again and compare.
func ImagePrefix(uid string) (prefix string, ok bool) {
	digits, ok := strings.CutPrefix(uid, root)
	if !ok || len(digits) > 39 || len(digits) < 1 || digits[0] == '0' || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", false
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok || n.BitLen() > 128 {
		return "", false
	}
	var b [16]byte
	n.FillBytes(b[:])
	if b[6]>>4 != 8 || b[8]>>6 != 2 {
		return "", false
	}
	var bits uint64
	for i := range 6 {
		bits = bits<<8 | uint64(b[i])
	}
	bits = bits<<12 | uint64(b[6]&0x0f)<<8 | uint64(b[7])
	var out [idPrefix]byte
	for i := range out {
		out[i] = idAlphabet[bits>>(5*(idPrefix-1-i))&31]
	}
	return string(out[:]), true
}

// StudyUID and SeriesUID return the identifiers of the study and the series of a catalogued
// image: [NewSeries] uses the same ones.
func StudyUID(id string) string  { return ImageUID(id, "study") }
func SeriesUID(id string) string { return ImageUID(id, "series") }
