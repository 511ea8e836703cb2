// Letters of 5 × 7 dots, for labels.

const glyphs = {
  A: "0e11111f111111", B: "1e11111e11111e", C: "0e11101010110e", D: "1e11111111111e", E: "1f10101e10101f", F: "1f10101e101010",
  G: "0e11101713110e", H: "1111111f111111", I: "0e04040404040e", K: "11121418141211", L: "1010101010101f", M: "111b1515111111",
  N: "11191513111111", O: "0e11111111110e", P: "1e11111e101010", R: "1e11111e141211", S: "0f10100e01011e", T: "1f040404040404",
  0: "0e11131519110e", 1: "040c040404040e", 2: "0e11010204081f", 3: "1f02040201110e", 4: "02060a121f0202", 5: "1f101e0101110e",
  6: "0608101e11110e", 7: "1f010204080808", 8: "0e11110e11110e", 9: "0e11110f01020c", "-": "0000001f000000", ".": "00000000000c0c", "&": "0c12140815120d",
};

// write draws text with its top left at x, y, each dot as a square of that size.
export function write(raster, text, x, y, dot, colour = [30, 30, 40]) {
  for (const letter of text.toUpperCase()) {
    const rows = glyphs[letter];
    for (let row = 0; rows && row < 7; row++) {
      const bits = parseInt(rows.slice(row * 2, row * 2 + 2), 16);
      for (let column = 0; column < 5; column++) {
        if (bits & (16 >> column)) raster.fill(x + column * dot, y + row * dot, dot, dot, colour);
      }
    }
    x += 6 * dot;
  }
}
