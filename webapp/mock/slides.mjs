// The slides of the mock: their records, tiles and pictures.

import { Raster } from "./png.mjs";
import { write } from "./text.mjs";
import { hash, tissue } from "./tissue.mjs";

const start = Date.parse("2025-03-14T09:26:00Z");

function image(n, values) {
  const width = values.width ?? 45056;
  const height = values.height ?? 35840;
  const tile = values.tile ?? 512;
  const tileHeight = values.tileHeight ?? tile;
  const maxZoom = Math.ceil(Math.log2(Math.max(1, width / tile, height / tileHeight)));
  const id = `mock${String(n).padStart(4, "0")}${Math.floor(hash(n, 1, 1) * 1e9).toString(36)}`;
  const levels = [];
  for (let k = 0; k <= maxZoom; k++) {
    const w = Math.ceil(width / 2 ** k);
    const h = Math.ceil(height / 2 ** k);
    levels.push({ width: w, height: h, tile_width: tile, tile_height: tileHeight, columns: Math.ceil(w / tile), rows: Math.ceil(h / tileHeight), downsample: 2 ** k });
  }
  const shown = (values.state ?? "available") === "available";
  const known = shown || values.state === "missing";
  const record = {
    id, store: values.store ?? "main", revision: `r${n}a`, state: values.state ?? "available", reason: values.reason ?? null,
    format: known ? (values.format ?? "philips") : null, vendor: known ? (values.vendor ?? "PHILIPS") : null,
    width: known ? width : null, height: known ? height : null, tile_width: known ? tile : null, tile_height: known ? tileHeight : null, max_zoom: known ? maxZoom : null, levels: known ? levels : [],
    mpp_x: known ? (values.mpp === undefined ? 0.25 : values.mpp) : null, mpp_y: known ? (values.mpp === undefined ? 0.25 : values.mpp) : null,
    objective_power: known ? (values.power === undefined ? 40 : values.power) : null,
    barcode: values.barcode ?? null, label: values.label ?? null, file_name: values.file, aliases: [], external_id: null,
    size: values.size ?? Math.round(width * height * (0.32 + 0.2 * hash(n, 2, 2))), digest: null,
    tile_url: shown ? `/api/v1/images/${id}/tiles/{z}/{x}/{y}.jpg?v=r${n}a` : null,
    associated: values.associated ?? (known ? ["label", "macro"] : []),
    properties: known ? properties(n, values) : {},
    created_at: new Date(start - n * 3_700_000).toISOString(), updated_at: new Date(start - n * 3_000_000).toISOString(),
    missing_since: values.state === "missing" ? new Date(start).toISOString() : null,
  };
  return { record, seed: values.seed ?? n, draw: tissue(values.seed ?? n, width, height) };
}

function properties(n, values) {
  if (values.format === "generic") return { "tiff.Software": "libvips 8.14.1", "tiff.Compression": "JPEG", "tiff.Photometric": "YCbCr" };
  return {
    "philips.DICOM_MANUFACTURER": "PHILIPS", "philips.DICOM_MANUFACTURERS_MODEL_NAME": "UFS Scanner", "philips.DICOM_DEVICE_SERIAL_NUMBER": "FMT0107",
    "philips.DICOM_ACQUISITION_DATETIME": `20250${1 + (n % 3)}14092300.000000`, "philips.DICOM_SOFTWARE_VERSIONS": '"1.6.6186" "20150402_R48" "4.0.3"',
    "philips.DICOM_DATE_OF_LAST_CALIBRATION": '"20250301"', "philips.DICOM_TIME_OF_LAST_CALIBRATION": '"112233"', "philips.PIIM_DP_SCANNER_RACK_NUMBER": "5",
    "philips.PIIM_DP_SCANNER_SLOT_NUMBER": String(1 + (n % 20)), "philips.PIIM_DP_SCANNER_CALIBRATION_STATUS": "OK", "philips.PIM_DP_UFS_INTERFACE_VERSION": "5.0",
    "philips.DICOM_LOSSY_IMAGE_COMPRESSION_METHOD": '"PHILIPS_DP_1_0" "PHILIPS_TIFF_1_0"', "philips.DICOM_LOSSY_IMAGE_COMPRESSION_RATIO": '"2" "3"', "tiff.Software": "Philips DP v1.0",
  };
}

// storeOf spreads the made-up slides over the stores.
function storeOf(n) {
  if (n % 4 === 0) return "teaching";
  if (n % 4 === 2) return "archive";
  return n < 37 ? "loan" : "offsite";
}

export function makeSlides(many) {
  const organs = ["breast", "colon", "kidney", "lymph-node", "prostate", "skin", "liver", "lung"];
  const list = [
    image(1, { file: "S25-10231_A1_HE.tiff", barcode: "S25-10231-A1", width: 101376, height: 76800, size: 3_412_998_144, seed: 4 }),
    image(2, { file: "S25-10231_A2_HE.tiff", barcode: "S25-10231-A2", width: 45056, height: 35840, seed: 5 }),
    image(3, { file: "S25-10244_B1_PAS.tiff", barcode: "S25-10244-B1", associated: ["macro"], width: 60416, height: 45568, seed: 6 }),
    image(4, { file: "biopsy_core_07.tif", format: "generic", vendor: null, width: 7001, height: 23457, tile: 256, mpp: 0.4991, power: 20, associated: [], seed: 9 }),
    image(5, { file: "S25-10250_A1_HE.tiff", state: "arriving", reason: "The file is still being copied: 1.9 GB have arrived, its tables point to 3.4 GB.", size: 1_912_332_288, barcode: "S25-10250-A1" }),
    image(6, { file: "archive_1998_slide12.tif", format: "generic", vendor: null, width: 20011, height: 15013, mpp: null, power: null, associated: ["macro"], seed: 3 }),
    image(7, { file: "S25-10239_C4_HE.tiff", state: "broken", reason: "The file ends 3.2 GB early: TileOffsets (tag 324) of level 0 points to byte 3,401,220,096 in a file of 198,180,864 bytes. Copy it again from the scanner.", size: 198_180_864 }),
    image(8, { file: "S25-10198_A1_HE.tiff", label: "Kidney biopsy, teaching set", state: "missing", barcode: "S25-10198-A1", width: 45056, height: 35840 }),
    image(9, { file: "overview.pdf.tiff", state: "unsupported", reason: "This is a TIFF of one stripped page without a pyramid. Convert it with “ptiffstore convert”.", size: 8_400_120 }),
    image(10, { file: "derived_44x.tiff", barcode: "0004711", width: 45056, height: 35840, mpp: 0.2269, power: null, seed: 12 }),
    image(11, { file: "one_tile.tif", format: "generic", vendor: null, width: 300, height: 201, associated: [], mpp: 1, power: 10, seed: 2 }),
    image(12, { file: "oblong_tiles.tif", format: "generic", vendor: null, width: 12_345, height: 6_789, tile: 512, tileHeight: 240, associated: [], seed: 8 }),
  ];
  for (let n = list.length + 1; n <= Math.max(many, list.length); n++) {
    const organ = organs[n % organs.length];
    const block = `S25-${10000 + n * 3}`;
    list.push(image(n, {
      file: `${block}_${organ}_HE.tiff`, barcode: `${block}-A1`, label: n % 5 === 0 ? `${organ[0].toUpperCase()}${organ.slice(1)}, case ${n}` : null, store: storeOf(n),
      width: 512 * (60 + Math.floor(hash(n, 3, 3) * 120)), height: 512 * (50 + Math.floor(hash(n, 4, 4) * 90)), ...(n % 3 === 0 ? { power: 20, mpp: 0.5 } : {}),
    }));
  }
  return list;
}

const padding = [255, 0, 255]; // loud, so that nobody draws it unseen

// tile is a tile of the ladder: whole, padding included.
export function tile(slide, z, x, y) {
  const { width, height, tile_width: tw, tile_height: th, max_zoom } = slide.record;
  const step = 2 ** (max_zoom - z);
  const raster = new Raster(tw, th, padding);
  const w = Math.min(tw, Math.ceil(width / step) - x * tw);
  const h = Math.min(th, Math.ceil(height / step) - y * th);
  return sample(slide, raster, x * tw * step, y * th * step, step, step, w, h, 0, 0);
}

function sample(slide, raster, left, top, stepX, stepY, w, h, atX, atY) {
  const colour = [0, 0, 0];
  for (let row = 0; row < h; row++) {
    for (let column = 0; column < w; column++) {
      slide.draw(left + (column + 0.5) * stepX, top + (row + 0.5) * stepY, stepX, colour);
      raster.set(atX + column, atY + row, colour[0], colour[1], colour[2]);
    }
  }
  return raster;
}

export function thumbnail(slide, maxWidth, maxHeight) {
  const { width, height } = slide.record;
  const scale = Math.min(maxWidth / width, maxHeight / height);
  const w = Math.max(1, Math.round(width * scale));
  const h = Math.max(1, Math.round(height * scale));
  return sample(slide, new Raster(w, h), 0, 0, width / w, height / h, w, h, 0, 0);
}

export function label(slide) {
  const { barcode, file_name } = slide.record;
  const raster = new Raster(387, 403, [250, 249, 244]);
  const text = barcode ?? file_name.slice(0, 12);
  for (let j = 0; j < 22; j++) {
    for (let i = 0; i < 22; i++) {
      const on = i === 0 || j === 21 || (j === 0 ? i % 2 === 0 : i === 21 ? j % 2 === 1 : hash(i, j, slide.seed + text.length) > 0.5);
      if (on) raster.fill(30 + i * 8, 30 + j * 8, 8, 8, [20, 20, 28]);
    }
  }
  write(raster, text, 30, 236, 4);
  write(raster, "H&E", 230, 60, 6, [120, 40, 90]);
  write(raster, "PATHOLOGY", 30, 300, 4, [90, 90, 100]);
  write(raster, "14.03.2025", 30, 350, 4, [90, 90, 100]);
  return raster;
}

export function macro(slide) {
  const raster = new Raster(908, 403, [236, 236, 232]);
  const { width, height } = slide.record;
  const scale = Math.min(820 / width, 350 / height);
  const w = Math.round(width * scale);
  const h = Math.round(height * scale);
  sample(slide, raster, 0, 0, width / w, height / h, w, h, Math.round((908 - w) / 2), Math.round((403 - h) / 2));
  for (let i = 3; i < raster.data.length; i++) raster.data[i] = Math.min(255, raster.data[i] * 0.985);
  return raster;
}

// preview is the label turned, beside the macro.
export function preview(slide, height) {
  const has = slide.record.associated;
  const parts = [];
  if (has.includes("label") || slide.record.barcode) parts.push(label(slide).turned());
  if (has.includes("macro")) parts.push(macro(slide));
  if (parts.length === 0) return thumbnail(slide, height * 4, height);
  const scaled = parts.map((part) => part.scaled(Math.round((part.width * height) / part.height), height));
  const out = new Raster(scaled.reduce((sum, part) => sum + part.width, 0), height);
  let x = 0;
  for (const part of scaled) {
    out.paste(part, x, 0);
    x += part.width;
  }
  return out;
}
