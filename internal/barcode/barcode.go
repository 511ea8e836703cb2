// Package barcode renders the codes of slide labels and reads them from images of
// labels.
package barcode

import "errors"

// A Kind is a symbology.
type Kind string

// The supported kinds. PDF417 is missing for lack of a reader.
const (
	DataMatrix Kind = "datamatrix" // ISO/IEC 16022, ECC 200
	QR         Kind = "qr"         // ISO/IEC 18004
	Aztec      Kind = "aztec"      // ISO/IEC 24778
	Code128    Kind = "code128"    // ISO/IEC 15417
	Code39     Kind = "code39"     // ISO/IEC 16388
	Code93     Kind = "code93"     // AIM USS-93
	Codabar    Kind = "codabar"    // EN 798
	ITF        Kind = "itf"        // interleaved 2 of 5, ISO/IEC 16390
	EAN8       Kind = "ean8"       // ISO/IEC 15420
	EAN13      Kind = "ean13"      // ISO/IEC 15420; UPC-A is read as one with a leading 0
)

// ErrNotFound reports that an image has no readable code.
var ErrNotFound = errors.New("no code found")
