package tiff

import "strconv"

// A Type is the type of a field's values.
type Type uint16

// Types of TIFF 6.0 page 15 and 16; IFD is defined in Technical Note 1, the later ones in
// BigTIFF.
const (
	Byte      Type = 1  // unsigned, 1 byte
	ASCII     Type = 2  // 1 byte
	Short     Type = 3  // unsigned, 2 bytes
	Long      Type = 4  // unsigned, 4 bytes
	Rational  Type = 5  // two Longs: numerator, denominator
	SByte     Type = 6  // signed, 1 byte
	Undefined Type = 7  // 1 byte
	SShort    Type = 8  // signed, 2 bytes
	SLong     Type = 9  // signed, 4 bytes
	SRational Type = 10 // two SLongs
	Float     Type = 11 // IEEE 754, 4 bytes
	Double    Type = 12 // IEEE 754, 8 bytes
	IFD       Type = 13 // a Long that is the offset of a directory
	Long8     Type = 16 // unsigned, 8 bytes
	SLong8    Type = 17 // signed, 8 bytes
	IFD8      Type = 18 // a Long8 that is the offset of a directory
)

var types = [...]struct {
	name string
	size int // bytes
}{
	Byte:      {"BYTE", 1},
	ASCII:     {"ASCII", 1},
	Short:     {"SHORT", 2},
	Long:      {"LONG", 4},
	Rational:  {"RATIONAL", 8},
	SByte:     {"SBYTE", 1},
	Undefined: {"UNDEFINED", 1},
	SShort:    {"SSHORT", 2},
	SLong:     {"SLONG", 4},
	SRational: {"SRATIONAL", 8},
	Float:     {"FLOAT", 4},
	Double:    {"DOUBLE", 8},
	IFD:       {"IFD", 4},
	Long8:     {"LONG8", 8},
	SLong8:    {"SLONG8", 8},
	IFD8:      {"IFD8", 8},
}

// Size returns the size of a value of type t in bytes, or 0 for an unknown type.
func (t Type) Size() int {
	if int(t) >= len(types) {
		return 0
	}
	return types[t].size
}

// String returns the name of t in the specification, or its number: "SHORT", "99".
func (t Type) String() string {
	if t.Size() == 0 {
		return strconv.Itoa(int(t))
	}
	return types[t].name
}
