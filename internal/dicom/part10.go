package dicom

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Transfer syntaxes, PS3.6 table A-1.
const (
	ExplicitLittleEndian = "1.2.840.10008.1.2.1"
	JPEGBaseline         = "1.2.840.10008.1.2.4.50"
)

// WholeSlide is the SOP class of all instances of a slide: VL Whole Slide Microscopy Image Storage.
const WholeSlide = "1.2.840.10008.5.1.4.1.1.77.1.6"

// Identify the program in the files that it writes. The UID is constant.
const (
	implementationUID     = "2.25.226543201875309846752093471958320461753"
	implementationVersion = "PTIFFSTORE"
)

// appendPreamble appends the start of a Part 10 file: the preamble and the file meta
// information (PS3.10 section 7.1).
func appendPreamble(out []byte, instance, syntax string) []byte {
	var meta Dataset
	meta.Set(FileMetaInformationVersion, []byte{0, 1})
	meta.Set(MediaStorageSOPClassUID, WholeSlide)
	meta.Set(MediaStorageSOPInstanceUID, instance)
	meta.Set(TransferSyntaxUID, syntax)
	meta.Set(ImplementationClassUID, implementationUID)
	meta.Set(ImplementationVersionName, implementationVersion)
	body := AppendDataset(nil, meta)

	out = append(out, make([]byte, 128)...)
	out = append(out, "DICM"...)
	var length Dataset
	length.Set(FileMetaInformationGroupLength, len(body))
	return append(AppendDataset(out, length), body...)
}

// AppendDataset appends the elements in explicit VR little endian (PS3.5 section 7.1.2).
// Sequences and items have a length.
func AppendDataset(out []byte, d Dataset) []byte {
	for i := range d {
		out = appendElement(out, &d[i])
	}
	return out
}

func appendElement(out []byte, e *Element) []byte {
	out = binary.LittleEndian.AppendUint16(out, uint16(e.Tag>>16))
	out = binary.LittleEndian.AppendUint16(out, uint16(e.Tag))
	out = append(out, e.VR...)
	at := len(out)
	long := hasLongLength(e.VR)
	if long {
		out = append(out, 0, 0, 0, 0, 0, 0)
	} else {
		out = append(out, 0, 0)
	}
	start := len(out)
	out = appendValue(out, e)
	n := len(out) - start
	if long {
		binary.LittleEndian.PutUint32(out[at+2:], uint32(n))
		return out
	}
	if n > math.MaxUint16 {
		panic(fmt.Sprintf("dicom: %d bytes in %v", n, e.Tag))
	}
	binary.LittleEndian.PutUint16(out[at:], uint16(n))
	return out
}

// hasLongLength reports whether the length of an element has 32 bits.
func hasLongLength(vr VR) bool {
	return slices.Contains([]VR{"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}, vr)
}

// appendValue appends a value of an even number of bytes.
func appendValue(out []byte, e *Element) []byte {
	start := len(out)
	pad := byte(' ')
	switch {
	case e.VR == "SQ":
		for _, item := range e.Items {
			out = append(out, 0xfe, 0xff, 0x00, 0xe0)
			at := len(out)
			out = AppendDataset(append(out, 0, 0, 0, 0), item)
			binary.LittleEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		}
		return out
	case e.VR == "AT":
		for _, s := range e.Text {
			v, _ := strconv.ParseUint(s, 16, 32) //nolint:errcheck // text of tags is written by this package
			out = binary.LittleEndian.AppendUint16(out, uint16(v>>16))
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
		return out
	case e.Text != nil:
		out = append(out, strings.Join(e.Text, `\`)...)
		if e.VR == "UI" {
			pad = 0
		}
	case e.Numbers != nil:
		for _, v := range e.Numbers {
			out = appendNumber(out, e.VR, v)
		}
	default:
		out, pad = append(out, e.Bytes...), 0
	}
	if (len(out)-start)%2 == 1 {
		out = append(out, pad)
	}
	return out
}

func appendNumber(out []byte, vr VR, v float64) []byte {
	switch vr {
	case "SS":
		return binary.LittleEndian.AppendUint16(out, uint16(int16(v)))
	case "SL":
		return binary.LittleEndian.AppendUint32(out, uint32(int32(v)))
	case "SV":
		return binary.LittleEndian.AppendUint64(out, uint64(int64(v)))
	case "UV":
		return binary.LittleEndian.AppendUint64(out, uint64(v))
	case "US":
		return binary.LittleEndian.AppendUint16(out, uint16(v))
	case "UL":
		return binary.LittleEndian.AppendUint32(out, uint32(v))
	case "FL":
		return binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(v)))
	case "FD":
		return binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	panic(fmt.Sprintf("dicom: numbers of VR %s", vr))
}
