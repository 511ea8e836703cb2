// Something that looks like tissue stained with H&E, at any scale.

const glass = [244, 242, 245];

// tissue returns a function of level-0 coordinates and the size of a pixel, that
// writes a colour into out.
export function tissue(seed, width, height) {
  const size = Math.min(width, height);
  const pieces = Array.from({ length: 1 + (seed % 3) }, (_, i) => ({
    x: width * (0.5 + (i - (seed % 3) / 2) * 0.27),
    y: height * (0.5 + 0.06 * (hash(seed, i, 1) - 0.5)),
    rx: width * (0.34 / (1 + (seed % 3) * 0.55)),
    ry: height * (0.3 + 0.08 * hash(seed, i, 2)),
  }));
  const edge = size / 5;

  return (x, y, step, out) => {
    let inside = -1;
    for (const p of pieces) inside = Math.max(inside, 1 - Math.hypot((x - p.x) / p.rx, (y - p.y) / p.ry));
    inside += 0.55 * (fbm(x / edge, y / edge, seed, 4, step / edge) - 0.5);
    if (inside < 0) return set(out, glass, 1);
    const gland = fbm(x / 900, y / 900, seed + 7, 3, step / 900);
    const fibre = fbm(x / 260 + gland * 3, y / 70, seed + 3, 3, step / 70);
    const lumen = smooth(0.66, 0.72, gland);
    let r = 232 - 34 * fibre - 22 * gland;
    let g = 168 - 62 * fibre - 30 * gland;
    let b = 201 - 36 * fibre - 8 * gland;
    const density = smooth(0.3, 0.62, gland) * 0.85 + 0.12;
    const cover = nucleus(x, y, step, seed, density);
    r += (92 - r) * cover;
    g += (58 - g) * cover;
    b += (138 - b) * cover;
    const open = Math.max(lumen, 1 - smooth(0, 0.05, inside));
    out[0] = r + (glass[0] - r) * open;
    out[1] = g + (glass[1] - g) * open;
    out[2] = b + (glass[2] - b) * open;
    return undefined;
  };
}

function set(out, colour, k) {
  for (let i = 0; i < 3; i++) out[i] = colour[i] * k;
}

const spacing = 34; // of nuclei, pixels of level 0

// nucleus is how much of a pixel nuclei cover. From far away they are a tint.
function nucleus(x, y, step, seed, density) {
  if (step > 20) return density * 0.24;
  const cx = Math.floor(x / spacing);
  const cy = Math.floor(y / spacing);
  let cover = 0;
  for (let j = cy - 1; j <= cy + 1; j++) {
    for (let i = cx - 1; i <= cx + 1; i++) {
      const h = hash(i, j, seed);
      if (h > density) continue;
      const a = hash(j, i, seed + 11);
      const dx = x - (i + 0.25 + 0.5 * a) * spacing;
      const dy = y - (j + 0.25 + 0.5 * hash(i + j, i, seed + 5)) * spacing;
      const turn = a * Math.PI;
      const u = dx * Math.cos(turn) + dy * Math.sin(turn);
      const v = dy * Math.cos(turn) - dx * Math.sin(turn);
      const distance = Math.hypot(u / (9 + 6 * h), v / (6 + 4 * a));
      const soft = Math.max(0.16, step / 9);
      cover = Math.max(cover, (1 - smooth(1 - soft, 1 + soft, distance)) * (0.78 + 0.22 * hash(Math.floor(x / 3), Math.floor(y / 3), seed)));
    }
  }
  return step > 6 ? cover * (1 - (step - 6) / 14) + density * 0.24 * ((step - 6) / 14) : cover;
}

function smooth(from, to, x) {
  const t = Math.max(0, Math.min(1, (x - from) / (to - from)));
  return t * t * (3 - 2 * t);
}

export function hash(x, y, seed) {
  let h = Math.imul(x, 374761393) ^ Math.imul(y, 668265263) ^ Math.imul(seed + 1, 974634257);
  h = Math.imul(h ^ (h >>> 13), 1274126177);
  h = Math.imul(h ^ (h >>> 16), 2246822519);
  return ((h ^ (h >>> 15)) >>> 0) / 4294967296;
}

function noise(x, y, seed) {
  const x0 = Math.floor(x);
  const y0 = Math.floor(y);
  const u = smooth(0, 1, x - x0);
  const v = smooth(0, 1, y - y0);
  const top = hash(x0, y0, seed) * (1 - u) + hash(x0 + 1, y0, seed) * u;
  const bottom = hash(x0, y0 + 1, seed) * (1 - u) + hash(x0 + 1, y0 + 1, seed) * u;
  return top * (1 - v) + bottom * v;
}

// fbm adds octaves until they are finer than a pixel.
function fbm(x, y, seed, octaves, step) {
  let sum = 0;
  let weight = 0;
  let amplitude = 1;
  for (let i = 0; i < octaves && (i === 0 || step * 2 ** i < 0.7); i++) {
    sum += amplitude * noise(x * 2 ** i, y * 2 ** i, seed + i * 17);
    weight += amplitude;
    amplitude /= 2;
  }
  return sum / weight;
}
