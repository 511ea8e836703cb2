package jpeg

import "bytes"

const (
	profileMark = "ICC_PROFILE\x00"
	// profilePart is how much of a profile fits into a segment, with its mark, its number
	// and the number of parts in front (ICC.1:2022, annex B.4).
	profilePart = 65535 - 2 - len(profileMark) - 2
	// MaxProfile is the largest colour profile that a JPEG can carry, in bytes.
	MaxProfile = 255 * profilePart
)

// Embed returns a JPEG with an ICC colour profile: data with APP2 segments behind its
// start and its JFIF segment, in place of any that it has. Nothing is decoded. Data is returned unchanged if
// it is not a JPEG, or the profile is empty or larger than [MaxProfile].
func Embed(data, profile []byte) []byte {
	if len(data) < 4 || data[0] != 0xff || data[1] != MarkSOI || len(profile) == 0 || len(profile) > MaxProfile {
		return data
	}
	parts := (len(profile) + profilePart - 1) / profilePart
	dst := make([]byte, 0, len(data)+len(profile)+parts*(4+len(profileMark)+2))
	return AppendEmbedded(dst, data, profile)
}

// AppendEmbedded appends what [Embed] returns to dst, which must not overlap data.
func AppendEmbedded(dst, data, profile []byte) []byte {
	if len(data) < 4 || data[0] != 0xff || data[1] != MarkSOI || len(profile) == 0 || len(profile) > MaxProfile {
		return append(dst, data...)
	}
	dst = append(dst, data[:2]...)
	i, placed := 2, false
	for {
		seg, next, err := nextSegment(data, i)
		if !placed && (err != nil || seg.Mark != MarkAPP0) {
			dst, placed = appendProfile(dst, profile), true
		}
		if err != nil || seg.Mark == MarkSOS {
			return append(dst, data[i:]...)
		}
		if seg.Mark != MarkAPP2 || !bytes.HasPrefix(seg.Data, []byte(profileMark)) {
			dst = append(dst, data[i:next]...)
		}
		i = next
	}
}

// appendProfile appends the segments of a profile.
func appendProfile(dst, profile []byte) []byte {
	parts := (len(profile) + profilePart - 1) / profilePart
	for k := range parts {
		part := profile[k*profilePart : min((k+1)*profilePart, len(profile))]
		n := 2 + len(profileMark) + 2 + len(part)
		dst = append(dst, 0xff, MarkAPP2, byte(n>>8), byte(n))
		dst = append(dst, profileMark...)
		dst = append(dst, byte(k+1), byte(parts))
		dst = append(dst, part...)
	}
	return dst
}
