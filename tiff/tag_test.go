package tiff

import "testing"

func TestTagString(t *testing.T) {
	tests := []struct {
		tag  Tag
		want string
	}{
		{TagTileOffsets, "324 TileOffsets"},
		{TagPhotometric, "262 PhotometricInterpretation"},
		{TagSubIFDs, "330 SubIFDs"},
		{0, "0"},
		{65535, "65535"},
	}
	for _, tt := range tests {
		if got := tt.tag.String(); got != tt.want {
			t.Errorf("Tag(%d).String() = %q, want %q", uint16(tt.tag), got, tt.want)
		}
	}
}

func TestTypeString(t *testing.T) {
	tests := []struct {
		typ  Type
		want string
		size int
	}{
		{Byte, "BYTE", 1},
		{SRational, "SRATIONAL", 8},
		{IFD, "IFD", 4},
		{IFD8, "IFD8", 8},
		{0, "0", 0},
		{14, "14", 0},
		{15, "15", 0},
		{19, "19", 0},
		{65535, "65535", 0},
	}
	for _, tt := range tests {
		if got, size := tt.typ.String(), tt.typ.Size(); got != tt.want || size != tt.size {
			t.Errorf("Type(%d) is %q of %d bytes, want %q of %d", uint16(tt.typ), got, size, tt.want, tt.size)
		}
	}
}
