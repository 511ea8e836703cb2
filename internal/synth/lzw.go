package synth

// packLZW compresses bytes as TIFF 6.0 section 13 describes it: codes of 9 to 12
// bits, the first bit highest, the encoder being one entry ahead of the decoder.
func packLZW(pix []byte) []byte {
	const clearCode, endCode, first = 256, 257, 258
	var out []byte
	var acc uint32
	var held uint
	width := uint(9)
	put := func(code uint16) {
		acc = acc<<width | uint32(code)
		for held += width; held >= 8; held -= 8 {
			out = append(out, byte(acc>>(held-8)))
		}
	}
	table := map[uint32]uint16{} // prefix<<8 | byte → code
	next := uint16(first)
	put(clearCode)
	prefix := -1
	for _, b := range pix {
		if prefix < 0 {
			prefix = int(b)
			continue
		}
		key := uint32(prefix)<<8 | uint32(b)
		if code, ok := table[key]; ok {
			prefix = int(code)
			continue
		}
		put(uint16(prefix))
		table[key] = next
		next++
		switch next {
		case 512, 1024, 2048:
			width++
		case 4094:
			put(clearCode)
			table, next, width = map[uint32]uint16{}, first, 9
		}
		prefix = int(b)
	}
	if prefix >= 0 {
		put(uint16(prefix))
		if next++; next == 512 || next == 1024 || next == 2048 {
			width++
		}
	}
	put(endCode)
	if held > 0 {
		out = append(out, byte(acc<<(8-held)))
	}
	return out
}
