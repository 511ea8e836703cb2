package dicomweb

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A reason is why an instance was not stored (PS3.18 table 10.5.3-1, PS3.4 table B.2-1).
type reason int

// The reasons.
const (
	stored            reason = 0
	processingFailure reason = 0x0110
	duplicateInstance reason = 0x0111
	unsupportedClass  reason = 0x0122
	unsupportedSyntax reason = 0xC122
	outOfResources    reason = 0xA700
	notOfClass        reason = 0xA900
	notUnderstood     reason = 0xC000
)

// A result is what became of an instance.
type result struct {
	class, instance string // "" if the instance does not say it
	study, series   string // of a stored one
	reason          reason
}

// syntaxes are the transfer syntaxes that slides are read in.
var syntaxes = []string{
	dicom.ImplicitLittleEndian, dicom.ExplicitLittleEndian, dicom.JPEGBaseline,
	"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", // JPEG 2000
}

// headBytes is how much of an instance must hold its file meta information.
const headBytes = 8 << 10

// An intake receives the instances of one request.
type intake struct {
	v       *Receiver
	r       *http.Request
	inbox   *inbox
	study   string // that all instances must be of; "" for any
	results []result
}

// one receives an instance. The error is that of a body that cannot be read on; all others are in
// the results.
func (in *intake) one(p *part) error {
	body := bufio.NewReaderSize(p, 64<<10)
	head, err := body.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	res := in.meta(head, p.other)
	if res.reason != stored {
		in.results = append(in.results, res)
		_, err := io.Copy(io.Discard, io.LimitReader(body, in.v.o.MaxSize))
		return err
	}
	t, err := in.inbox.create()
	if err != nil {
		in.fail(res, err)
		return nil
	}
	defer t.discard()
	switch err := t.receive(body, in.v.o.MaxSize); {
	case errors.Is(err, errRead):
		res.reason = processingFailure
		in.results = append(in.results, res)
		return err
	case err != nil:
		in.fail(res, err)
		io.Copy(io.Discard, io.LimitReader(body, in.v.o.MaxSize)) //nolint:errcheck // the next part reports it
		return nil
	}
	if err := in.check(t, &res); err != nil {
		in.fail(res, err)
		return nil
	}
	if res.reason == stored {
		if err := in.give(t, &res); err != nil {
			in.fail(res, err)
			return nil
		}
	}
	in.results = append(in.results, res)
	return nil
}

// meta decides by the file meta information whether an instance is received at all.
func (in *intake) meta(head []byte, other bool) result {
	meta, err := dicom.ReadMeta(bytes.NewReader(head), int64(len(head)))
	if err != nil || other {
		in.log("not a DICOM file", err)
		return result{reason: notUnderstood}
	}
	res := result{class: meta.Text(dicom.MediaStorageSOPClassUID), instance: meta.Text(dicom.MediaStorageSOPInstanceUID)}
	switch {
	case !isUID(res.instance) || !isUID(res.class):
		res = result{reason: notUnderstood}
	case res.class != dicom.WholeSlide:
		res.reason = unsupportedClass
	case !slices.Contains(syntaxes, meta.Text(dicom.TransferSyntaxUID)):
		res.reason = unsupportedSyntax
	}
	return res
}

// check reads the attributes of a received instance. The error is one of this server.
func (in *intake) check(t *temp, res *result) error {
	f, err := dicom.Read(t.file, t.size)
	var format *dicom.FormatError
	var unsupported *dicom.UnsupportedError
	switch {
	case errors.As(err, &format), errors.As(err, &unsupported), errors.Is(err, dicom.ErrTruncated), errors.Is(err, dicom.ErrNotDICOM):
		in.log("the file is damaged", err)
		res.reason = notUnderstood
		return nil
	case err != nil:
		return err
	}
	t.head = f
	res.study, res.series = f.Data.Text(dicom.StudyInstanceUID), f.Data.Text(dicom.SeriesInstanceUID)
	switch {
	case f.Data.Text(dicom.SOPClassUID) != res.class, f.Data.Text(dicom.SOPInstanceUID) != res.instance,
		!isUID(res.study), !isUID(res.series), f.Pixels == 0, f.Data.Get(dicom.TotalPixelMatrixColumns) == nil:
		in.log("attributes are missing or do not match the file meta information", nil)
		res.reason = notOfClass
	case in.study != "" && in.study != res.study:
		in.log("it is of another study than the address", nil)
		res.reason = notOfClass
	}
	return nil
}

// give moves an instance to the incoming folder, unless it exists there: then it is stored if
// both are the same, and a duplicate if not.
func (in *intake) give(t *temp, res *result) error {
	same, err := t.give(res.series, res.instance)
	if err == nil && !same {
		res.reason = duplicateInstance
	}
	return err
}

// fail adds the result of an instance that this server could not store.
func (in *intake) fail(res result, err error) {
	res.reason = processingFailure
	if errors.Is(err, errNoSpace) || errors.Is(err, errTooLarge) {
		res.reason = outOfResources
	}
	in.log("it cannot be stored", err)
	in.results = append(in.results, res)
}

// log says why an instance was refused. It names no attribute, which may be those of a patient.
func (in *intake) log(why string, err error) {
	attrs := []any{"store", in.inbox.store.ID, "reason", why}
	if err != nil {
		attrs = append(attrs, "err", withoutPath(err))
	}
	httperr.Log(in.r.Context()).Warn("DICOM instance refused", attrs...)
}

// cutOff ends a request whose body cannot be read on: its client learns what was stored before.
func (in *intake) cutOff(err error) ([]result, error) {
	if !slices.ContainsFunc(in.results, func(r result) bool { return r.reason == stored }) {
		return nil, err
	}
	if in.results[len(in.results)-1].reason == stored { // it ended between two instances
		in.results = append(in.results, result{reason: processingFailure})
	}
	return in.results, nil
}
