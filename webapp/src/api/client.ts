// Requests to /api/v1.

import { t } from "../strings";
import { busyWith } from "../ui/activity";
import { isGatewayError, outage } from "./connection";
import type { Page, SlideImage, Store, StoreFolder, StorePatch, Task, Worker, ViewableImage } from "./types";

// A Problem is an unsuccessful response (RFC 9457). Status 0 means that the server did not respond.
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter: number | null = null, // seconds
    readonly errors: string[] = [], // errors in the request, each as "field: message"
  ) {
    super(detail);
    this.name = "Problem";
  }
}

// problemOf reads why a request failed. The message comes from the server if it sends one.
export async function problemOf(response: Response): Promise<Problem> {
  if (isGatewayError(response)) return new Problem(0, t.error.offline);
  let detail = "";
  let errors: string[] = [];
  if (response.headers.get("Content-Type")?.includes("json")) {
    try {
      const body = (await response.json()) as { detail?: unknown; title?: unknown; errors?: unknown };
      if (typeof body.detail === "string") detail = body.detail;
      else if (typeof body.title === "string") detail = body.title;
      if (Array.isArray(body.errors)) errors = body.errors.filter((e) => typeof e === "string");
    } catch {
      // a body that is not JSON has no readable message
    }
  }
  return new Problem(response.status, detail || t.error.status(response.status), retryAfter(response), errors);
}

// retryAfter parses the Retry-After header, in seconds; null without one.
export function retryAfter(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

let loggedOut: () => void = () => {};

// onLoggedOut sets the function to call when the server responds that the user is not
// logged in.
export function onLoggedOut(listener: () => void): void {
  loggedOut = listener;
}

export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  return busyWith((async () => (await (await request("GET", path, undefined, signal)).json()) as T)());
}

interface RequestOptions {
  redirectToLogin?: boolean; // on status 401; true if absent
}

export function request(method: string, path: string, body?: unknown, signal?: AbortSignal, options: RequestOptions = {}): Promise<Response> {
  return busyWith(send(method, path, body, signal, options));
}

async function send(method: string, path: string, body: unknown, signal: AbortSignal | undefined, { redirectToLogin = true }: RequestOptions): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, { method, signal, headers, cache: "no-cache", body: body === undefined ? null : JSON.stringify(body) });
  } catch (err) {
    if (signal?.aborted) throw err;
    void outage();
    throw new Problem(0, t.error.offline);
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 0) void outage();
  if (problem.status === 401 && redirectToLogin && !signal?.aborted) loggedOut();
  throw problem;
}

// An ImageQuery filters and sorts a list of images. Empty strings do not filter.
export interface ImageQuery {
  q: string;
  store: string;
  state: string;
  sort: string;
}

// An ExactQuery finds the images with exactly this barcode, this id in another application, or this
// accession number of their case.
export interface ExactQuery {
  accession?: string;
  barcode?: string;
  external_id?: string;
}

// listFields are the fields that lists of slides show. All fields of 60 slides are 140 KB.
const listFields = ["id", "store", "revision", "state", "reason", "width", "height", "mpp_x", "mpp_y", "objective_power", "barcode", "label", "file_name", "folder", "external_id", "accession", "part", "block", "stain", "corrected", "size", "associated", "vendor", "created_at"] as const;
const deletedFields = [...listFields, "deleted_at", "missing_since"] as const;

// A ListedImage has the fields of an image that lists show.
export type ListedImage = Pick<SlideImage, (typeof listFields)[number]>;
export type DeletedImage = Pick<SlideImage, (typeof deletedFields)[number]>;

// listed removes what lists do not show: a list can hold 100,000 slides.
export function listed(image: ListedImage): ListedImage {
  return Object.fromEntries(listFields.map((name) => [name, image[name]])) as ListedImage;
}

// listImages returns a page of images with listFields only.
export function listImages(query: ImageQuery | ExactQuery, cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<ListedImage>> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value);
  if (cursor) params.set("cursor", cursor);
  params.set("limit", String(limit));
  params.set("fields", listFields.join());
  return getJSON(`/api/v1/images?${params}`, signal);
}

// listDeleted lists images that can be restored.
export function listDeleted(cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<DeletedImage>> {
  const params = new URLSearchParams({ deleted: "true", limit: String(limit), fields: deletedFields.join() });
  if (cursor) params.set("cursor", cursor);
  return getJSON(`/api/v1/images?${params}`, signal);
}

const imagePath = (id: string): string => `/api/v1/images/${encodeURIComponent(id)}`;

// changeImage sets the label, the external id or names of the case; null removes a value.
export async function changeImage(id: string, patch: { label?: string | null; external_id?: string | null; accession?: string | null; part?: string | null; block?: string | null; stain?: string | null }): Promise<SlideImage> {
  return (await (await request("PATCH", imagePath(id), patch)).json()) as SlideImage;
}

export async function deleteImage(id: string): Promise<void> {
  await request("DELETE", imagePath(id));
}

export async function restoreImage(id: string): Promise<void> {
  await request("POST", `${imagePath(id)}/restore`);
}

export function getImage(id: string, signal?: AbortSignal): Promise<SlideImage> {
  return getJSON(`/api/v1/images/${encodeURIComponent(id)}`, signal);
}

export async function listStores(signal?: AbortSignal): Promise<Store[]> {
  return (await getJSON<Page<Store>>("/api/v1/stores", signal)).items;
}

const storePath = (id: string): string => `/api/v1/stores/${encodeURIComponent(id)}`;
const taskPath = (id: string): string => `/api/v1/tasks/${encodeURIComponent(id)}`;

// addStore adds a store, and with makeFolder creates its folder.
export async function addStore(store: StorePatch, makeFolder = false): Promise<Store> {
  return (await (await request("POST", `/api/v1/stores${makeFolder ? "?make_folder=true" : ""}`, store)).json()) as Store;
}

// listStoreFolders lists the folders in or below which stores may be added.
export async function listStoreFolders(signal?: AbortSignal): Promise<StoreFolder[]> {
  return (await getJSON<Page<StoreFolder>>("/api/v1/store-folders", signal)).items;
}

export async function changeStore(id: string, patch: StorePatch): Promise<Store> {
  return (await (await request("PATCH", storePath(id), patch)).json()) as Store;
}

// removeStore removes a store from the catalog. A managed store with slides is refused with status
// 409 unless keepFiles is set.
export async function removeStore(id: string, keepFiles: boolean): Promise<void> {
  await request("DELETE", storePath(id) + (keepFiles ? "?keep_files=true" : ""));
}

// A SyncOption is a variant of sync. confirm means that a person has confirmed the missing slides.
export type SyncOption = "resync" | "dry_run" | "confirm";

export async function syncStore(id: string, option?: SyncOption): Promise<Task> {
  return (await (await request("POST", `${storePath(id)}/sync${option ? `?${option}=true` : ""}`)).json()) as Task;
}

export async function submitTask(kind: string, queue: string | null, args: Record<string, unknown>): Promise<Task> {
  return (await (await request("POST", "/api/v1/tasks", queue ? { kind, queue, args } : { kind, args })).json()) as Task;
}

// A TaskQuery filters a list of tasks. Empty strings do not filter.
export interface TaskQuery {
  kind: string;
  state: string;
  store: string;
}

export function listTasks(query: Partial<TaskQuery>, cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<Task>> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value);
  if (cursor) params.set("cursor", cursor);
  params.set("limit", String(limit));
  return getJSON(`/api/v1/tasks?${params}`, signal);
}

export function getTask(id: string, signal?: AbortSignal): Promise<Task> {
  return getJSON(taskPath(id), signal);
}

export async function cancelTask(id: string): Promise<void> {
  await request("DELETE", taskPath(id));
}

export const taskEvents = (id: string): string => `${taskPath(id)}/events`;

export async function listWorkers(signal?: AbortSignal): Promise<Worker[]> {
  return (await getJSON<Page<Worker>>("/api/v1/workers", signal)).items;
}

// getVersion is the version of the server, from its OpenAPI document.
export async function getVersion(signal?: AbortSignal): Promise<string> {
  return (await getJSON<{ info?: { version?: string } }>("/openapi.json", signal)).info?.version ?? "";
}

// preconnect opens a connection to another tile server before it is needed.
export function preconnect(address: string): void {
  const { origin } = new URL(address, location.href);
  if (origin === location.origin || document.querySelector(`link[rel=preconnect][href="${CSS.escape(origin)}"]`)) return;
  const link = document.createElement("link");
  link.rel = "preconnect";
  link.href = origin;
  link.crossOrigin = "anonymous";
  document.head.append(link);
}

// fetchProfile fetches the colour profile of an image, from the server of its tiles.
export async function fetchProfile(image: ViewableImage, signal: AbortSignal): Promise<ArrayBuffer> {
  const response = await fetch(image.tile_url.replace(/\/tiles\/[^?]*/, "/icc"), { signal });
  if (!response.ok) throw await problemOf(response);
  return response.arrayBuffer();
}

// imageURL is the address of an associated image: "preview", "associated/label" and so on. The
// revision changes the address when the file of the slide is replaced.
export function imageURL(image: Pick<SlideImage, "id" | "revision">, kind: string, params: Record<string, number> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) search.set(name, String(value));
  if (image.revision) search.set("v", image.revision);
  if (kind === "preview" || kind === "associated/label") search.set("upright", "1"); // browsers have kept older ones under another address
  const query = search.size ? `?${search}` : "";
  return `/api/v1/images/${encodeURIComponent(image.id)}/${kind}${query}`;
}
