// The shapes of /api/v1, as far as the application reads them. Unknown is null.

import type { Scope } from "../access/types";

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

// A Store as it is shown; what has its default value is null. Only admins see
// root, incoming and host.
export interface Store {
  id: string;
  label: string | null;
  mode: string; // "in-place" or "managed"
  endpoint: string | null;
  counts?: Partial<Record<ImageState, number>> | null;
  root?: string | null;
  incoming?: string | null;
  host?: string | null;
  host_away?: boolean | null; // null if it is bound to none
  host_seen_at?: string | null;
  endpoint_away?: boolean | null; // null if it has none, or none was asked yet
  endpoint_error?: string | null; // why
  schedule?: string | null; // "15m", or five fields of cron
  time_zone?: string | null;
  next_sync?: string | null;
  queue?: string | null;
  include?: string[] | null;
  exclude?: string[] | null;
  settle?: string | null; // durations: "10m0s"
  max_missing?: number | null; // share, up to 1
  hide_after?: string | null;
  drop_after?: string | null;
  keep_trash?: string | null;
  verify?: string | null;
  verify_rate?: number | null; // bytes per second
  quota?: number | null; // bytes
  bytes?: number | null; // of the files that are there
  convert?: boolean | null; // pyramids are made of pictures that are none
  background?: string | null; // "#rrggbb"
  origin?: string | null; // "top-left" or "bottom-left"
  public?: boolean | null;
  hide_labels?: boolean | null;
  scopes?: Scope[] | null; // what the caller may do with all of its images
  declared?: Record<string, string> | null; // what the site's file sets, with its keys there
  last_sync?: string | null;
  last_result?: SyncResult | null;
  watch?: Watch | null;
}

// A StorePatch is what is sent of a store: null stands for the default, what is
// absent stays as it is.
export type StorePatch = Partial<Record<keyof Store, string | number | boolean | string[] | null>>;

// A SyncResult is what a pass over a store's folder found, in files.
export interface SyncResult {
  count?: number | null;
  added?: number | null;
  updated?: number | null;
  moved?: number | null;
  missing?: number | null;
  returned?: number | null;
  arriving?: number | null;
  failed?: { image?: string | null; reason: string }[] | null;
  links?: number | null;
  duration?: number | null; // seconds
}

export interface Watch {
  polling: boolean;
  why: string | null;
  error: string | null;
  last_pass: string | null;
  arriving: number;
  failing_since?: string | null;
  next_try?: string | null;
}

export type TaskState = "waiting" | "running" | "retrying" | "succeeded" | "failed" | "cancelled";

export interface Task {
  id: string;
  kind: string; // "sync_store", "verify_store" …
  queue: string;
  args: Record<string, unknown> | null;
  state: TaskState;
  ready: boolean;
  progress: { done: number; total: number | null; unit: string } | null;
  result: unknown;
  error: string | null;
  attempts: number;
  worker: string | null;
  request_id: string | null;
  submitted_at: string;
  started_at: string | null;
  finished_at: string | null;
  log?: { at: string; text: string }[] | null; // absent in lists
  waiting_for_worker?: boolean | null;
}

export interface Worker {
  id: string;
  host: string | null; // null but for admins
  pid?: number | null;
  version?: string | null;
  queues: string[];
  started_at?: string | null;
  seen_at: string;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
