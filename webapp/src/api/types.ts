// The types of /api/v1 that the application uses. Unknown values are null.

import type { Scope } from "../access/types";

export type ImageState = "available" | "arriving" | "missing" | "broken" | "unsupported" | "quarantined";

export interface Level {
  width: number; // pixels of the image, without the padding of edge tiles
  height: number;
  tile_width: number;
  tile_height: number;
  columns: number;
  rows: number;
  downsample: number; // of level 0: 1, 2, 4 …
}

// A Zoom is a level in powers of two; index 0 is the smallest.
export interface Zoom {
  width: number;
  height: number;
  columns: number;
  rows: number;
}

// Bounds are the part of level 0 with the image, in pixels from its top left.
export interface Bounds {
  x: number;
  y: number;
  width: number;
  height: number;
}

// A ColorProfile describes the ICC profile of a scanner.
export interface ColorProfile {
  name: string; // may be empty
  class: string; // "scnr" for scanners
  space: string; // "RGB"
  version: string;
  size: number; // bytes
  srgb: boolean; // there is nothing to correct
  usable: boolean;
  reason?: string; // why it is not usable
  in_tiles: boolean; // the tiles carry a profile themselves
}

export interface SlideImage {
  id: string;
  store: string;
  revision: string | null;
  state: ImageState;
  reason: string | null;
  format: string | null;
  vendor: string | null;
  width: number | null; // pixels of level 0, or of its bounds
  height: number | null;
  bounds?: Bounds | null; // null for all of level 0
  tile_width: number | null;
  tile_height: number | null;
  max_zoom: number | null;
  levels: Level[] | null;
  zooms?: Zoom[] | null; // if absent, calculated from width, height and levels
  mpp_x: number | null; // µm per pixel of level 0
  mpp_y: number | null;
  objective_power: number | null;
  barcode?: string | null;
  label?: string | null;
  file_name?: string | null;
  folder?: string | null; // below the root of an in-place store
  aliases?: string[] | null;
  external_id?: string | null;
  accession?: string | null; // of its case
  part?: string | null;
  block?: string | null;
  stain?: string | null;
  corrected?: string[] | null; // which of these four users have set
  size: number | null; // bytes
  digest: string | null;
  tile_url: string | null; // template with {z}, {x} and {y}
  associated?: string[] | null; // "label", "macro", "thumbnail"
  profile?: ColorProfile | null; // null without one
  viewers?: { name: string; url: string }[] | null; // other viewers that show the image; null in lists
  properties?: Record<string, string> | null;
  created_at: string | null;
  updated_at: string | null;
  missing_since: string | null;
  deleted_at?: string | null; // in the list of deleted images
}

// A ViewableImage has everything that is needed to render its tiles.
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

// A Store has null for default values. Only admins see root, incoming and host.
export interface Store {
  id: string;
  label: string | null;
  mode: string; // "in-place" or "managed"
  endpoint: string | null;
  counts?: Partial<Record<ImageState, number>> | null;
  kind?: string; // "directory", "mongodb", "dump" or "s3"
  root?: string | null; // a folder, or the URL of a database
  password_file?: string | null;
  incoming?: string | null;
  host?: string | null;
  host_away?: boolean | null; // null if it is not bound to a host
  host_seen_at?: string | null;
  endpoint_away?: boolean | null; // null if it has no tile server, or none was checked yet
  endpoint_error?: string | null; // the reason
  schedule?: string | null; // "15m", or five fields of cron
  time_zone?: string | null;
  next_sync?: string | null;
  queue?: string | null;
  include?: string[] | null;
  exclude?: string[] | null;
  settle?: string | null; // durations: "10m0s"
  max_missing?: number | null; // fraction, at most 1
  hide_after?: string | null;
  drop_after?: string | null;
  keep_trash?: string | null;
  verify?: string | null;
  verify_rate?: number | null; // bytes per second
  quota?: number | null; // bytes
  bytes?: number | null; // of existing files
  convert?: boolean | null; // images that are not pyramids are converted
  background?: string | null; // "#rrggbb"
  case_pattern?: string | null; // a regular expression
  case_source?: string | null; // "barcode", "filename" or "folder"
  origin?: string | null; // "top-left" or "bottom-left"
  public?: boolean | null;
  hide_labels?: boolean | null;
  scopes?: Scope[] | null; // the caller's permissions on all of its images
  declared?: Record<string, string> | null; // the settings that the configuration file provisions, with their keys there
  last_sync?: string | null;
  last_result?: SyncResult | null;
  watch?: Watch | null;
}

// A StoreFolder is a folder in or below which stores may be added.
export interface StoreFolder {
  path: string;
  exists: boolean;
  writable: boolean;
  free: number | null; // bytes
}

// A StorePatch is a change of a store: null resets a field to its default, absent fields are not
// changed.
export type StorePatch = Partial<Record<keyof Store, string | number | boolean | string[] | null>>;

// A SyncResult counts the files that a sync found.
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

// A SyncErrorCode tells why a sync was refused. Other errors have no code.
export type SyncErrorCode = "too_many_missing" | "other_folder" | "folder_unreachable";

export interface Watch {
  polling: boolean;
  why: string | null;
  error: string | null;
  error_code?: SyncErrorCode | null;
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
  error_code?: SyncErrorCode | null;
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
  host: string | null; // null unless the caller is an admin
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
