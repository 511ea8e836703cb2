package dicom

import (
	"crypto/sha256"
	"math/big"
)

// UID derives a unique identifier from names: always the same one from the same names. It is a
// UUID of version 8 as a decimal number below 2.25 (PS3.5 section B.2, RFC 9562), of at most
// 44 characters.
func UID(names ...string) string {
	h := sha256.New()
	for _, s := range names {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	b := h.Sum(nil)[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return "2.25." + new(big.Int).SetBytes(b).String()
}
