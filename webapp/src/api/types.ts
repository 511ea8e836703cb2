// The shapes of /api/v1, as far as the application reads them. Unknown is null.

export type ImageState = "available" | "arriving" | "missing" | "broken" | "unsupported" | "quarantined";

export interface Level {
  width: number; // pixels of picture, padding of edge tiles not counted
  height: number;
  tile_width: number;
  tile_height: number;
  columns: number;
  rows: number;
  downsample: number; // of level 0: 1, 2, 4 …
}

// A Zoom is a step of the ladder of powers of two, index 0 the smallest.
export interface Zoom {
  width: number;
  height: number;
  columns: number;
  rows: number;
}

export interface SlideImage {
  id: string;
  store: string;
  revision: string | null;
  state: ImageState;
  reason: string | null;
  format: string | null;
  vendor: string | null;
  width: number | null; // pixels of level 0
  height: number | null;
  tile_width: number | null;
  tile_height: number | null;
  max_zoom: number | null;
  levels: Level[] | null;
  zooms?: Zoom[] | null; // reckoned from width, height and levels where absent
  mpp_x: number | null; // µm per pixel of level 0
  mpp_y: number | null;
  objective_power: number | null;
  barcode?: string | null;
  label?: string | null;
  file_name?: string | null;
  aliases?: string[] | null;
  external_id?: string | null;
  size: number | null; // bytes
  digest: string | null;
  tile_url: string | null; // template with {z}, {x} and {y}
  associated?: string[] | null; // "label", "macro", "thumbnail"
  properties?: Record<string, string> | null;
  created_at: string | null;
  updated_at: string | null;
  missing_since: string | null;
}

// A ViewableImage has everything that is needed to draw its tiles.
export type ViewableImage = SlideImage & {
  width: number;
  height: number;
  tile_width: number;
  tile_height: number;
  max_zoom: number;
  tile_url: string;
};

export function isViewable(image: SlideImage): image is ViewableImage {
  return image.state === "available" && !!image.tile_url && !!image.width && !!image.height &&
    !!image.tile_width && !!image.tile_height && image.max_zoom !== null;
}

export interface Store {
  id: string;
  label: string | null;
  mode: string;
  endpoint: string | null;
  counts?: Partial<Record<ImageState, number>> | null;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
