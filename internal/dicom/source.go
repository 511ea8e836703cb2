package dicom

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/slideatlas/ptiffstore/slide"
)

// A source is the files of a slide that was opened from a DICOM series: [slide.Slide.Source] of
// it. It has nothing of their attributes.
type source struct{ files []*sourceFile }

// A sourceFile is an instance of a source.
type sourceFile struct {
	part   Part
	uid    string
	kind   string // macro, label or thumbnail, or "" for a level
	level  int    // of the slide, or -1
	shows  bool   // it shows or may show the label
	frames *frameFile
	matrix *matrix
	before int // frames of the matrix in other files before this one
}

// add adds the instances of a level or an associated image.
func (src *source) add(group []*instance, s *slide.Stored, level int) {
	m := s.Tiles.(*matrix)
	for k, in := range group {
		yes := func(t Tag) bool { return in.file.Data.Text(t) == "YES" }
		src.files = append(src.files, &sourceFile{
			part: in.part, uid: in.uid, kind: s.Kind, level: level, frames: m.files[k], matrix: m, before: m.before[k],
			shows: s.Kind == "label" || s.Kind == "macro" || s.Kind == "thumbnail" && (yes(SpecimenLabelInImage) || yes(BurnedInAnnotation)),
		})
	}
}

// ordered returns the files with the levels first, the largest first, and the label last.
func (src *source) ordered() []*sourceFile {
	rank := map[string]int{"": 0, "thumbnail": 1, "macro": 2, "label": 3}
	list := slices.Clone(src.files)
	slices.SortStableFunc(list, func(a, b *sourceFile) int { return cmp.Compare(rank[a.kind], rank[b.kind]) })
	return list
}

// find returns the file of an instance of a slide that is open now.
func (in *Instance) find(s *slide.Slide) (*sourceFile, error) {
	if src, ok := s.Source().(*source); ok {
		for _, f := range src.files {
			if f.uid == in.UID {
				return f, nil
			}
		}
	}
	return nil, fmt.Errorf("instance %s: %w", in.UID, slide.ErrNoTile)
}

// A Count is how many instances the files of a slide have.
type Count struct {
	Open    int // those that everybody may see who may see the slide
	Private int // label, macro, and a thumbnail that shows the label
}

// CountInstances returns the number of instances of a slide that was opened from a DICOM series;
// ok is false for other slides.
func CountInstances(s *slide.Slide) (n Count, ok bool) {
	src, ok := s.Source().(*source)
	if !ok {
		return n, false
	}
	for _, f := range src.files {
		if f.shows {
			n.Private++
		} else {
			n.Open++
		}
	}
	return n, true
}

// addSource adds the instances of the files that the slide was opened from, with their own
// identifiers.
func (d *Series) addSource(src *source) error {
	p := d.o.Patient
	all := p != nil && p.Label
	for _, f := range src.ordered() {
		if f.shows && !all || f.kind == "macro" && !p.Macro {
			continue
		}
		file, err := Read(f.part.R, f.part.Size)
		if err != nil {
			return err
		}
		if err := checkUIDs(file.Data); err != nil {
			return err
		}
		in := &Instance{
			UID: f.uid, TransferSyntax: file.TransferSyntax, Attributes: file.Data, Level: f.level, Kind: f.kind,
			Private: f.shows, series: d, stored: &storedInstance{frames: f.frames.frames, all: all},
		}
		if in.TransferSyntax == ImplicitLittleEndian {
			in.TransferSyntax = ExplicitLittleEndian // of the frames; the file is sent as it is
		}
		in.Attributes.Set(SpecificCharacterSet, "ISO_IR 192") // as text was decoded
		if d.StudyUID = in.Attributes.Text(StudyInstanceUID); len(d.Instances) == 0 {
			d.UID = in.Attributes.Text(SeriesInstanceUID)
		}
		if !all {
			in.Attributes = withoutPatient(in.Attributes, d.o.ID)
		} else if in.stored.changed = p.ID != "" || p.Name != "" || p.AccessionNumber != ""; in.stored.changed {
			in.Attributes = writable(in.Attributes)
			overwrite(&in.Attributes, p)
		}
		in.stored.positions = f.matrix.sparse
		if !d.o.NoFiles {
			if err := in.stored.locate(f, file); err != nil {
				return err
			}
			if in.stored.head, err = in.headOf(f); err != nil {
				return err
			}
		}
		d.Instances = append(d.Instances, in)
	}
	return nil
}

// checkUIDs checks the identifiers of a file, which become parts of addresses and names of files.
func checkUIDs(d Dataset) error {
	for _, t := range []Tag{StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID} {
		if !IsLooseUID(d.Text(t)) {
			return &UnsupportedError{Tag: t, Msg: "the file cannot be shown in DICOM: it has no valid identifier"}
		}
	}
	return nil
}

// overwrite sets the attributes of the patient that are given.
func overwrite(a *Dataset, p *Patient) {
	for t, v := range map[Tag]string{PatientID: p.ID, PatientName: p.Name, AccessionNumber: p.AccessionNumber} {
		if v != "" {
			a.Set(t, v)
		}
	}
}

// A storedInstance has the facts of an instance that is a file.
type storedInstance struct {
	frames  int
	all     bool // the attributes are all those of the file
	changed bool // but for those of the patient, which the caller has replaced
	// copied is the part of the file that its copy has behind the head: all of it, or the pixel
	// data.
	copied    Extent
	perFrame  []byte // functional groups of the frames in the head of a copy, as an element
	positions bool   // whether the frames have positions in their groups
	native    int64  // length of pixel data that is not compressed, or -1
	head      []byte // what the copy has before the copied part
}

// pieceSize is how much of a file is copied at once.
const pieceSize = 1 << 20

// pieces returns the number of pieces in which the file is copied.
func (st *storedInstance) pieces() int { return int((st.copied.Length + pieceSize - 1) / pieceSize) }

// maxPerFrame limits the functional groups of frames that are rewritten, in bytes. Those of 200,000
// frames have about 50 MB.
const maxPerFrame = 64 << 20

// locate finds what of a file is copied: all of it, or only the pixels.
func (st *storedInstance) locate(f *sourceFile, file *File) error {
	st.native = file.PixelLength
	if st.all && !st.changed {
		st.copied = Extent{0, f.part.Size}
		return nil
	}
	start, end := file.Pixels, file.Pixels+file.PixelLength
	if file.PixelLength < 0 {
		t, err := f.frames.load()
		if err != nil {
			return err
		}
		if end, err = f.frames.lastEnd(slices.Max(t.at)); err != nil {
			return err
		}
		if end < 0 {
			return &FormatError{Offset: start, Tag: PixelData, Msg: "the file is damaged: its pixel data does not end behind the last frame"}
		}
		end += itemsEnd
	}
	st.copied = Extent{start, end - start}
	if !st.positions {
		return nil
	}
	for frame, err := range file.FrameGroups(f.part.R, f.part.Size) {
		if err != nil {
			return err
		}
		if st.all {
			frame = writable(frame)
		} else {
			frame = openAttributes(frame)
		}
		b := AppendDataset(nil, frame)
		if len(st.perFrame)+len(b)+itemHeader > maxPerFrame {
			return &UnsupportedError{Tag: PerFrameFunctionalGroupsSequence, Msg: "the positions of frames take too much memory for a copy with other attributes"}
		}
		st.perFrame = append(appendItem(st.perFrame, int64(len(b))), b...)
	}
	return nil
}

// headOf returns what a copy of the file has in place of what is before the copied part.
func (in *Instance) headOf(f *sourceFile) ([]byte, error) {
	st := in.stored
	if st.copied.Offset == 0 {
		return nil, nil
	}
	head := AppendDataset(appendPreamble(nil, in.UID, in.TransferSyntax), in.Attributes)
	if len(st.perFrame) > 0 {
		head = append(appendLong(head, PerFrameFunctionalGroupsSequence, "SQ", len(st.perFrame)), st.perFrame...)
	}
	for _, t := range []struct {
		tag Tag
		at  Extent
	}{{ExtendedOffsetTable, f.frames.file.ExtendedOffsets}, {ExtendedOffsetTableLengths, f.frames.file.ExtendedLengths}} {
		if t.at.Length != 8*int64(st.frames) {
			continue // not usable
		}
		head = appendLong(head, t.tag, "OV", int(t.at.Length))
		n := len(head)
		head = append(head, make([]byte, t.at.Length)...)
		if err := f.frames.read(head[n:], t.at.Offset); err != nil {
			return nil, err
		}
	}
	if st.native >= 0 {
		return appendLong(head, PixelData, "OB", int(st.native)), nil
	}
	return appendLong(head, PixelData, "OB", undefined), nil
}

// appendStored appends a frame of a file as it is stored.
func (f *sourceFile) appendStored(dst []byte, n int) ([]byte, error) {
	if f.frames.raw == 0 {
		dst, _, err := f.frames.appendFrame(dst, n)
		if errors.Is(err, slide.ErrEmptyTile) { // a frame without bytes
			err = nil
		}
		return dst, err
	}
	base := len(dst)
	longer := slices.Grow(dst, int(f.frames.raw))[:base+int(f.frames.raw)]
	if err := f.frames.read(longer[base:], f.frames.file.Pixels+int64(n)*f.frames.raw); err != nil {
		return dst, err
	}
	return longer, nil
}

// appendPiece appends a piece of the part of the file that is copied.
func (f *sourceFile) appendPiece(dst []byte, of Extent, n int) ([]byte, error) {
	at := int64(n) * pieceSize
	size := int(min(pieceSize, of.Length-at))
	base := len(dst)
	longer := slices.Grow(dst, size)[:base+size]
	if err := f.frames.read(longer[base:], of.Offset+at); err != nil {
		return dst, err
	}
	return longer, nil
}

// place returns the column and the row of a frame in its level. It is false for a frame without a
// place.
func (f *sourceFile) place(n int) (col, row int, ok bool, err error) {
	m := f.matrix
	number := f.before + n
	if m.sparse {
		places, err := m.load()
		if err != nil {
			return 0, 0, false, err
		}
		if number = slices.Index(places, uint32(number+1)); number < 0 {
			return 0, 0, false, nil
		}
	}
	return number % m.columns, number / m.columns, true, nil
}

// HasPositions reports whether the places of the frames are in their functional groups, which are
// not among the attributes.
func (in *Instance) HasPositions() bool { return in.stored != nil && in.stored.positions }

// maxPositions limits the positions of frames in the JSON model, in bytes.
const maxPositions = 64 << 20

// AppendPositions appends the functional groups of the frames as a member of the JSON model, for an
// instance that has positions, with the slide that is open now. The error is an
// [*UnsupportedError] if they are too many.
func (in *Instance) AppendPositions(dst []byte, s *slide.Slide) ([]byte, error) {
	f, err := in.find(s)
	if err != nil {
		return dst, err
	}
	base, first := len(dst), true
	dst = fmt.Appendf(dst, `"%v":{"vr":"SQ","Value":[`, PerFrameFunctionalGroupsSequence)
	for frame, err := range f.frames.file.FrameGroups(f.part.R, f.part.Size) {
		if err != nil {
			return dst[:base], err
		}
		if !in.stored.all {
			frame = openAttributes(frame)
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if dst, err = frame.appendJSON(dst, nil); err != nil {
			return dst[:base], err
		}
		if len(dst)-base > maxPositions {
			return dst[:base], &UnsupportedError{Tag: PerFrameFunctionalGroupsSequence, Msg: "the positions of frames are too many to be sent as JSON"}
		}
	}
	return append(dst, "]}"...), nil
}

// FrameGroups reads the functional groups of the frames in their order, one frame after the other.
// Nothing follows an error, which is one of those of [Read].
func (f *File) FrameGroups(r io.ReaderAt, size int64) func(yield func(Dataset, error) bool) {
	return func(yield func(Dataset, error) bool) {
		if f.PerFrame.Length <= 0 {
			return
		}
		p, stopped := &parser{r: r, size: size}, false
		e := element{at: f.PerFrame.Offset, tag: PerFrameFunctionalGroupsSequence, vr: "SQ", value: f.PerFrame.Offset, length: f.PerFrame.Length}
		_, err := p.eachItem(e, scope{end: size, implicit: f.implicit, charset: f.charset}, func(it element, s scope) (int64, error) {
			p.elements, p.items, p.values = 0, 0, 0 // limits of one frame
			d := Dataset{}
			next, err := p.eachElement(it, s, func(e element, s *scope) (int64, error) { return p.keep(&d, e, s) })
			if err == nil {
				err = sorted(d, it.at)
			}
			if err != nil {
				return 0, err
			}
			if stopped = !yield(d, nil); stopped {
				return 0, errStopped
			}
			return next, nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}
