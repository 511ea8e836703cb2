// A raster and its PNG, with nothing but zlib.

import { crc32, deflateSync } from "node:zlib";

export class Raster {
  constructor(width, height, [r, g, b] = [255, 255, 255]) {
    this.width = width;
    this.height = height;
    this.data = Buffer.alloc(width * height * 3);
    if (r === g && g === b) this.data.fill(r);
    else for (let i = 0; i < this.data.length; i += 3) this.data.set([r, g, b], i);
  }

  set(x, y, r, g, b) {
    const i = (y * this.width + x) * 3;
    this.data[i] = r;
    this.data[i + 1] = g;
    this.data[i + 2] = b;
  }

  fill(x, y, width, height, [r, g, b]) {
    for (let yy = Math.max(0, y); yy < Math.min(this.height, y + height); yy++) {
      for (let xx = Math.max(0, x); xx < Math.min(this.width, x + width); xx++) this.set(xx, yy, r, g, b);
    }
  }

  paste(other, x, y) {
    for (let yy = 0; yy < other.height; yy++) {
      other.data.copy(this.data, ((y + yy) * this.width + x) * 3, yy * other.width * 3, (yy + 1) * other.width * 3);
    }
  }

  // turned is the raster turned right by 90°.
  turned() {
    const out = new Raster(this.height, this.width);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        const i = (y * this.width + x) * 3;
        out.set(this.height - 1 - y, x, this.data[i], this.data[i + 1], this.data[i + 2]);
      }
    }
    return out;
  }

  // scaled is the raster at another size, by nearest pixel.
  scaled(width, height) {
    const out = new Raster(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = (Math.floor((y * this.height) / height) * this.width + Math.floor((x * this.width) / width)) * 3;
        out.set(x, y, this.data[i], this.data[i + 1], this.data[i + 2]);
      }
    }
    return out;
  }

  png() {
    const stride = this.width * 3;
    const raw = Buffer.alloc((stride + 1) * this.height);
    for (let y = 0; y < this.height; y++) {
      raw[y * (stride + 1)] = 1; // each pixel as its difference to the one on its left
      const row = y * stride;
      const out = y * (stride + 1) + 1;
      for (let i = 0; i < stride; i++) raw[out + i] = this.data[row + i] - (i >= 3 ? this.data[row + i - 3] : 0);
    }
    const head = Buffer.alloc(13);
    head.writeUInt32BE(this.width, 0);
    head.writeUInt32BE(this.height, 4);
    head.set([8, 2, 0, 0, 0], 8);
    return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(raw, { level: 1 })), chunk("IEND", Buffer.alloc(0))]);
  }
}

function chunk(type, data) {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, "latin1");
  data.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}
