// Requests to /api/v1.

import { t } from "../strings";
import type { Page, SlideImage, Store } from "./types";

// A Problem is an answer other than success: what RFC 9457 says of it, or status
// 0 when there was no answer.
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter: number | null = null, // seconds
  ) {
    super(detail);
    this.name = "Problem";
  }
}

// problemOf reads why a request failed. The sentence comes from the server where
// it sends one.
export async function problemOf(response: Response): Promise<Problem> {
  let detail = "";
  if (response.headers.get("Content-Type")?.includes("json")) {
    try {
      const body = (await response.json()) as { detail?: unknown; title?: unknown };
      if (typeof body.detail === "string") detail = body.detail;
      else if (typeof body.title === "string") detail = body.title;
    } catch {
      // what is not JSON says nothing that a person could read
    }
  }
  return new Problem(response.status, detail || t.error.status(response.status), retryAfter(response));
}

// retryAfter reads the header of that name, in seconds; null if there is none.
export function retryAfter(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { signal, headers: { Accept: "application/json" }, cache: "no-cache" });
  } catch (err) {
    if (signal?.aborted) throw err;
    throw new Problem(0, t.error.offline);
  }
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as T;
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
