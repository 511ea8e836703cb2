package dicom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Limits of what is read of a file. Real headers have some hundred elements and, with the
// colour profile, less than a few MiB.
const (
	maxDepth    = 32       // sequences within each other
	maxElements = 100_000  // that are kept
	maxItems    = 100_000  // that are kept
	maxValues   = 32 << 20 // bytes of memory for the kept values
	maxWalk     = 32 << 20 // headers of elements and items that are passed
	maxRead     = 1 << 30  // bytes
)

// windowSize is how much is read at once: mostly the entire header of an instance.
const windowSize = 64 << 10

// ErrNotDICOM reports a file that is no Part 10 file.
var ErrNotDICOM = errors.New("not a DICOM file: it has no DICM at byte 128")

// ErrTruncated reports a file that ends before its last element does: it is incomplete, or is
// still being copied.
var ErrTruncated = errors.New("the file is incomplete")

// A FormatError reports that a file breaks the DICOM standard. It wraps a
// [*tiff.FormatError], as which callers know the damage of any slide.
type FormatError struct {
	Offset int64  // where in the file the bad value is, in bytes
	Tag    Tag    // the attribute it belongs to; 0 if none
	Msg    string // what is wrong, as a clause for a person
}

func (e *FormatError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

// Unwrap returns the error as one of package tiff.
func (e *FormatError) Unwrap() error { return &tiff.FormatError{Offset: e.Offset, Msg: e.Msg} }

// An UnsupportedError reports that a file uses a feature that this package does not support,
// or exceeds one of its limits. It wraps a [*tiff.UnsupportedError].
type UnsupportedError struct {
	Offset int64  // where in the file the feature is named, in bytes
	Tag    Tag    // the attribute that names it; 0 if none
	Msg    string // what is not supported, as a clause for a person
}

func (e *UnsupportedError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

// Unwrap returns the error as one of package tiff.
func (e *UnsupportedError) Unwrap() error {
	return &tiff.UnsupportedError{Offset: e.Offset, Msg: e.Msg}
}

// located formats an error: the message first, followed by the technical detail.
func located(off int64, tag Tag, msg string) string {
	switch {
	case tag == 0:
		return fmt.Sprintf("%s (at byte %d)", msg, off)
	case off == 0: // of an attribute whose place was not kept
		return fmt.Sprintf("%s (DICOM attribute %v)", msg, tag)
	}
	return fmt.Sprintf("%s (DICOM attribute %v, at byte %d)", msg, tag, off)
}

// An Extent is a part of a file.
type Extent struct{ Offset, Length int64 }

// A File is a Part 10 file, or its beginning up to the pixel data.
type File struct {
	TransferSyntax string
	// Meta has group 0002. Data has the rest without pixel data, private groups, group lengths
	// and the functional groups of frames.
	Meta, Data Dataset
	// DataOffset is where the data set begins: behind group 0002.
	DataOffset int64
	// Pixels is the offset of the value of PixelData in the file, 0 without pixel data.
	Pixels int64
	// PixelLength is the length of that value in bytes, or -1 if it is encapsulated: then
	// items of compressed fragments follow, which [File.Fragments] lists.
	PixelLength int64
	// ExtendedOffsets and ExtendedLengths are the values of the extended offset table, zero if
	// the file has none.
	ExtendedOffsets, ExtendedLengths Extent
	// PerFrame has the items of the PerFrameFunctionalGroupsSequence, without its delimiter. It
	// is zero if the file has none.
	PerFrame Extent

	implicit bool    // the items of PerFrame have no VRs
	charset  charset // of their text
}

// IsDICOM reports whether a file that begins with head, of 132 bytes or more, is a Part 10
// file. It may be a TIFF as well, whose header is in the preamble.
func IsDICOM(head []byte) bool { return len(head) >= 132 && string(head[128:132]) == "DICM" }

// Transfer syntaxes that are told apart here, PS3.6 table A-1. All others have explicit VRs in
// little endian.
const (
	ImplicitLittleEndian = "1.2.840.10008.1.2"

	bigEndian = "1.2.840.10008.1.2.2"
)

// deflated has the transfer syntaxes whose data set is compressed.
var deflated = []string{"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}

// Read reads a file up to its pixel data, and checks that the pixel data ends within the file.
// What it reads and allocates is bounded.
//
// The error is [ErrNotDICOM] for another kind of file; [ErrTruncated] for one that ends early;
// an [*UnsupportedError] for big endian, deflated data sets and exceeded limits; a
// [*FormatError] for a damaged file; and otherwise wraps the error of r. Except for the first,
// what was read before the error is returned, too: its elements may not be in order.
//
// The format is that of PS3.10 section 7 and PS3.5 section 7.
func Read(r io.ReaderAt, size int64) (*File, error) {
	p := &parser{r: r, size: size}
	err := p.readMeta()
	if err == nil {
		err = p.checkSyntax()
	}
	if err == nil {
		err = p.readData(p.file.DataOffset)
	}
	if err == nil {
		err = p.checkPixels()
	}
	if errors.Is(err, ErrNotDICOM) {
		return nil, err
	}
	return &p.file, err
}

// ReadMeta returns the file meta information, of any transfer syntax: size need not be that of
// the entire file. The errors are those of [Read].
func ReadMeta(r io.ReaderAt, size int64) (Dataset, error) {
	p := &parser{r: r, size: size}
	if err := p.readMeta(); err != nil {
		return nil, err
	}
	return p.file.Meta, nil
}

// readMeta reads the file meta information, which always has explicit VRs. Its length is not
// relied on: it ends where another group begins.
func (p *parser) readMeta() error {
	if p.size < 132 {
		return ErrNotDICOM
	}
	head, err := p.bytes(0, 132)
	if err != nil {
		return err
	}
	if !IsDICOM(head) {
		return ErrNotDICOM
	}
	s, at := scope{end: p.size}, int64(132)
	for at < p.size {
		b, err := p.within(at, 4, p.size)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(b) != 2 {
			break
		}
		e, err := p.header(at, s)
		if err != nil {
			return err
		}
		if at, err = p.keep(&p.file.Meta, e, &s); err != nil {
			return err
		}
	}
	p.file.DataOffset = at
	p.file.TransferSyntax = p.file.Meta.Text(TransferSyntaxUID)
	return sorted(p.file.Meta, at)
}

// checkSyntax checks that the transfer syntax is one that is read here.
func (p *parser) checkSyntax() error {
	at, ts := p.file.DataOffset, p.file.TransferSyntax
	switch {
	case ts == "" && at >= p.size:
		return truncated(at, TransferSyntaxUID)
	case ts == "":
		return &FormatError{Offset: at, Tag: TransferSyntaxUID, Msg: "the file does not name its transfer syntax"}
	case ts == bigEndian:
		return &UnsupportedError{Offset: at, Tag: TransferSyntaxUID, Msg: "DICOM files in big endian are not supported"}
	case slices.Contains(deflated, ts):
		return &UnsupportedError{Offset: at, Tag: TransferSyntaxUID, Msg: "DICOM files with a deflated data set are not supported"}
	}
	return nil
}

// readData reads the data set up to the pixel data.
func (p *parser) readData(at int64) error {
	s := scope{end: p.size, implicit: p.file.TransferSyntax == ImplicitLittleEndian}
	for at < p.size && p.file.Pixels == 0 {
		e, err := p.header(at, s)
		if err != nil {
			return err
		}
		switch e.tag {
		case PixelData:
			p.file.Pixels, p.file.PixelLength = e.value, e.length
		case ExtendedOffsetTable:
			p.file.ExtendedOffsets = Extent{e.value, e.length}
		case ExtendedOffsetTableLengths:
			p.file.ExtendedLengths = Extent{e.value, e.length}
		case PerFrameFunctionalGroupsSequence:
			if at, err = p.skip(e, s); err != nil {
				return err
			}
			p.file.PerFrame = Extent{e.value, at - e.value}
			if e.length < 0 {
				p.file.PerFrame.Length -= 8 // the delimiter
			}
			p.file.implicit, p.file.charset = s.implicit || e.vr == "UN", s.charset
			continue
		default:
			if at, err = p.keep(&p.file.Data, e, &s); err != nil {
				return err
			}
			continue
		}
		if e.length < 0 && e.tag != PixelData {
			return &FormatError{Offset: at, Tag: e.tag, Msg: "a table of offsets has no length"}
		}
		at = e.value + e.length
	}
	return sorted(p.file.Data, at)
}

// checkPixels checks that the file has pixel data if its attributes describe an image, and
// that the pixel data ends.
func (p *parser) checkPixels() error {
	f := &p.file
	isImage := f.Meta.Text(MediaStorageSOPClassUID) == WholeSlide || f.Data.Get(Rows) != nil || len(f.Data) == 0
	switch {
	case f.Pixels == 0 && isImage:
		return truncated(p.size, PixelData)
	case f.Pixels == 0 || f.PixelLength >= 0:
		return nil
	}
	// Nearly all files end with the delimiter of the pixel data, so they need not be walked.
	if p.size-f.Pixels >= 8 {
		b, err := p.bytes(p.size-8, 8)
		if err != nil {
			return err
		}
		if string(b) == "\xfe\xff\xdd\xe0\x00\x00\x00\x00" {
			return nil
		}
	}
	return f.fragments(p, func(Extent) bool { return true })
}

// Fragments calls yield with the content of each item of encapsulated pixel data, until that
// returns false. The first item is the basic offset table. The errors are those of [Read].
func (f *File) Fragments(r io.ReaderAt, size int64, yield func(Extent) bool) error {
	return f.fragments(&parser{r: r, size: size}, yield)
}

func (f *File) fragments(p *parser, yield func(Extent) bool) error {
	if f.Pixels == 0 || f.PixelLength >= 0 {
		return nil
	}
	// Fragments are as large as tiles, so only their headers are read.
	var b [8]byte
	for at := f.Pixels; ; {
		if p.size-at < 8 {
			return truncated(at, PixelData)
		}
		if err := p.passed(at); err != nil {
			return err
		}
		if _, err := p.r.ReadAt(b[:], at); err != nil {
			return fmt.Errorf("cannot read the file at byte %d: %w", at, err)
		}
		tag := Tag(binary.LittleEndian.Uint16(b[:]))<<16 | Tag(binary.LittleEndian.Uint16(b[2:]))
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		at += 8
		switch {
		case tag == sequenceDelimiter:
			return nil
		case tag == 0 && n == 0: // some programs give a copy its size at once, and fill it
			return truncated(at, PixelData)
		case tag != item || n == undefined:
			return &FormatError{Offset: at - 8, Tag: PixelData, Msg: "the pixel data has something else than fragments"}
		case n > p.size-at:
			return truncated(at, PixelData)
		}
		if !yield(Extent{at, n}) {
			return nil
		}
		at += n
	}
}

func truncated(at int64, t Tag) error {
	return fmt.Errorf("%w: it ends inside or before DICOM attribute %v at byte %d", ErrTruncated, t, at)
}

// sorted puts the elements in the order of their tags, as which files must have them.
func sorted(d Dataset, at int64) error {
	if i := d.sort(); i >= 0 {
		return &FormatError{Offset: at, Tag: d[i].Tag, Msg: "a data set has an attribute twice"}
	}
	return nil
}

// trim takes off the padding of text.
func trim(vr VR, s string) string {
	switch vr {
	case "LT", "ST", "UT", "UR": // leading spaces count
		return strings.TrimRight(s, " \x00")
	}
	return strings.Trim(s, " \x00")
}

// IsUID reports whether s is a unique identifier (PS3.5 section 9.1). It is then safe as the name
// of a file or folder: digits, with single dots between them.
func IsUID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" || len(part) > 1 && part[0] == '0' {
			return false
		}
	}
	return true
}

// IsLooseUID is [IsUID], but accepts zeros at the start of numbers, which some files have. Such an
// identifier is safe as the name of a file as well.
func IsLooseUID(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.Trim(s, "0123456789.") == "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}
