// Requests to /api/v1.

import { t } from "../strings";
import { busyWith } from "../ui/activity";
import type { Page, SlideImage, Store, StorePatch, Task, Worker } from "./types";

// A Problem is an answer other than success: what RFC 9457 says of it, or status
// 0 when there was no answer.
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter: number | null = null, // seconds
    readonly errors: string[] = [], // what is wrong with the request, each as "field: words"
  ) {
    super(detail);
    this.name = "Problem";
  }
}

// problemOf reads why a request failed. The sentence comes from the server where
// it sends one.
export async function problemOf(response: Response): Promise<Problem> {
  let detail = "";
  let errors: string[] = [];
  if (response.headers.get("Content-Type")?.includes("json")) {
    try {
      const body = (await response.json()) as { detail?: unknown; title?: unknown; errors?: unknown };
      if (typeof body.detail === "string") detail = body.detail;
      else if (typeof body.title === "string") detail = body.title;
      if (Array.isArray(body.errors)) errors = body.errors.filter((e) => typeof e === "string");
    } catch {
      // what is not JSON says nothing that a person could read
    }
  }
  return new Problem(response.status, detail || t.error.status(response.status), retryAfter(response), errors);
}

// retryAfter reads the header of that name, in seconds; null if there is none.
export function retryAfter(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

let signedOut: () => void = () => {};

// onSignedOut sets what is done when the server answers that nobody is logged in.
export function onSignedOut(listener: () => void): void {
  signedOut = listener;
}

export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  return busyWith((async () => (await (await request("GET", path, undefined, signal)).json()) as T)());
}

interface RequestOptions {
  signIn?: boolean; // a 401 leads to where one logs in; true if absent
}

export function request(method: string, path: string, body?: unknown, signal?: AbortSignal, options: RequestOptions = {}): Promise<Response> {
  return busyWith(send(method, path, body, signal, options));
}

async function send(method: string, path: string, body: unknown, signal: AbortSignal | undefined, { signIn = true }: RequestOptions): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, { method, signal, headers, cache: "no-cache", body: body === undefined ? null : JSON.stringify(body) });
  } catch (err) {
    if (signal?.aborted) throw err;
    throw new Problem(0, t.error.offline);
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 401 && signIn && !signal?.aborted) signedOut();
  throw problem;
}

// An ImageQuery picks and orders the images of a list. An empty string is no
// restriction.
export interface ImageQuery {
  q: string;
  store: string;
  state: string;
  sort: string;
}

export function listImages(query: ImageQuery, cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<SlideImage>> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value);
  if (cursor) params.set("cursor", cursor);
  params.set("limit", String(limit));
  return getJSON(`/api/v1/images?${params}`, signal);
}

export function getImage(id: string, signal?: AbortSignal): Promise<SlideImage> {
  return getJSON(`/api/v1/images/${encodeURIComponent(id)}`, signal);
}

export async function listStores(signal?: AbortSignal): Promise<Store[]> {
  return (await getJSON<Page<Store>>("/api/v1/stores", signal)).items;
}

const storePath = (id: string): string => `/api/v1/stores/${encodeURIComponent(id)}`;
const taskPath = (id: string): string => `/api/v1/tasks/${encodeURIComponent(id)}`;

export async function addStore(store: StorePatch): Promise<Store> {
  return (await (await request("POST", "/api/v1/stores", store)).json()) as Store;
}

export async function changeStore(id: string, patch: StorePatch): Promise<Store> {
  return (await (await request("PATCH", storePath(id), patch)).json()) as Store;
}

// removeStore takes a store out of the catalog. A managed one that holds slides
// is refused with status 409 unless keepFiles is set.
export async function removeStore(id: string, keepFiles: boolean): Promise<void> {
  await request("DELETE", storePath(id) + (keepFiles ? "?keep_files=true" : ""));
}

// A SyncOption is a variant of sync: confirm says that a person has seen how many
// slides are gone.
export type SyncOption = "resync" | "dry_run" | "confirm";

export async function syncStore(id: string, option?: SyncOption): Promise<Task> {
  return (await (await request("POST", `${storePath(id)}/sync${option ? `?${option}=true` : ""}`)).json()) as Task;
}

export async function submitTask(kind: string, queue: string | null, args: Record<string, unknown>): Promise<Task> {
  return (await (await request("POST", "/api/v1/tasks", queue ? { kind, queue, args } : { kind, args })).json()) as Task;
}

// A TaskQuery picks tasks of a list. An empty string is no restriction.
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

// getVersion is the server's version, as its description of itself has it.
export async function getVersion(signal?: AbortSignal): Promise<string> {
  return (await getJSON<{ info?: { version?: string } }>("/openapi.json", signal)).info?.version ?? "";
}

// preconnect opens a connection to another server of tiles before it is needed.
export function preconnect(address: string): void {
  const { origin } = new URL(address, location.href);
  if (origin === location.origin || document.querySelector(`link[rel=preconnect][href="${CSS.escape(origin)}"]`)) return;
  const link = document.createElement("link");
  link.rel = "preconnect";
  link.href = origin;
  link.crossOrigin = "anonymous";
  document.head.append(link);
}

// pictureURL is the address of a picture that belongs to an image: "preview",
// "associated/label" and so on. The revision makes it another address when the
// slide's file is replaced.
export function pictureURL(image: Pick<SlideImage, "id" | "revision">, kind: string, params: Record<string, number> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) search.set(name, String(value));
  if (image.revision) search.set("v", image.revision);
  const query = search.size ? `?${search}` : "";
  return `/api/v1/images/${encodeURIComponent(image.id)}/${kind}${query}`;
}
