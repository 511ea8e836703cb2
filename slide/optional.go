package slide

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// maxWarnings limits the warnings of one slide: a damaged file may have thousands of fields.
const maxWarnings = 20

// tolerate handles the error of a field that no pixel depends on: the slide opens without
// its value, and with a warning. It returns other errors, which are those of the reader.
func (s *Slide) tolerate(err error) error {
	if err == nil || !isFieldError(err) {
		return err
	}
	text := fmt.Sprintf("a field is ignored: %v", err)
	if len(s.Warnings) < maxWarnings && !slices.Contains(s.Warnings, text) { // a field may be read for several purposes
		s.Warnings = append(s.Warnings, text)
	}
	return nil
}

// isFieldError reports whether err concerns the contents of the file, not the reader.
func isFieldError(err error) bool {
	_, damaged := errors.AsType[*tiff.FormatError](err)
	_, unsupported := errors.AsType[*tiff.UnsupportedError](err)
	return damaged || unsupported
}

// optional returns the value of an integer field, or def if it is absent or damaged.
func (s *Slide) optional(d *tiff.Directory, tag tiff.Tag, def uint64) (uint64, error) {
	v, err := d.Uint(tag, def)
	if err != nil {
		return def, s.tolerate(err)
	}
	return v, nil
}

// optionalFloat returns the value of a numeric field, or def if it is absent or damaged.
func (s *Slide) optionalFloat(d *tiff.Directory, tag tiff.Tag, def float64) (float64, error) {
	v, err := d.Float(tag, def)
	if err != nil {
		return def, s.tolerate(err)
	}
	return v, nil
}

// optionalText returns the start of a text, or "" if it is absent or lies outside the file.
func (s *Slide) optionalText(d *tiff.Directory, tag tiff.Tag, limit int) (string, error) {
	text, err := peek(s.file, d, tag, limit)
	return text, s.tolerate(err)
}

// subfileType returns the NewSubfileType of d, or 0 if it is absent or damaged.
func subfileType(d *tiff.Directory) (uint64, error) {
	v, err := d.Uint(tiff.TagNewSubfileType, 0)
	if err != nil && isFieldError(err) {
		return 0, nil
	}
	return v, err
}

// parseDecimal parses a number that scanners write with the decimal point or, depending on
// the language of their host, with a comma.
func parseDecimal(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if strings.Count(text, ",") == 1 && !strings.Contains(text, ".") {
		text = strings.Replace(text, ",", ".", 1)
	}
	return strconv.ParseFloat(text, 64)
}

// describedValues returns the "key = value" pairs of a description, which "|" separates, as
// in those of Aperio and of the many programs that imitate it.
func describedValues(text string) map[string]string {
	values := map[string]string{}
	_, fields, _ := strings.Cut(text, "|")
	for field := range strings.SplitSeq(fields, "|") {
		key, val, ok := strings.Cut(field, "=")
		if key, val = strings.TrimSpace(key), strings.TrimSpace(val); ok && key != "" && val != "" {
			values[key] = val
		}
	}
	return values
}

// setDescribed sets the resolution and the magnification from the values of a description
// if they are unknown.
func (s *Slide) setDescribed(values map[string]string) {
	if mpp, err := parseDecimal(values["MPP"]); err == nil && s.MPPX == 0 {
		s.setMPP(mpp, mpp)
	}
	if power, err := parseDecimal(values["AppMag"]); err == nil && s.ObjectivePower == 0 {
		s.setPower(power)
	}
}

// setPower sets the magnification of the objective unless it is implausible.
func (s *Slide) setPower(power float64) {
	if power > 0 && power <= 200 {
		s.ObjectivePower = power
	}
}
