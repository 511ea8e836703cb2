// Package barcode draws the codes of slide labels and reads them off pictures of
// labels.
package barcode

import "errors"

// A Kind is a symbology.
type Kind string

// The kinds that are drawn and read. PDF417 is not among them: no reader for it
// was at hand.
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

// ErrNotFound reports that a picture holds no code that could be read.
var ErrNotFound = errors.New("barcode: no code found")
