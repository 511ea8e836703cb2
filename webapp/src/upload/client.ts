// Requests to /api/v1/uploads, apart from those of the tus protocol.

import { getJSON, listStores, problemOf } from "../api/client";
import { may, session } from "../access/session";
import type { Page, Store } from "../api/types";
import type { UploadView } from "./types";

export const endpoint = "/api/v1/uploads";

export const uploadPath = (id: string): string => `${endpoint}/${encodeURIComponent(id)}`;

// listUploads lists the uploads of the caller, newest first.
export async function listUploads(signal?: AbortSignal): Promise<UploadView[]> {
  return (await getJSON<Page<UploadView>>(endpoint, signal)).items;
}

// listOthers lists a page of incomplete uploads of other users in the stores that the caller
// administers, newest first.
export async function listOthers(cursor: string | null, signal?: AbortSignal): Promise<Page<UploadView>> {
  const params = new URLSearchParams({ all: "true", state: "uploading" });
  if (cursor) params.set("cursor", cursor);
  const page = await getJSON<Page<UploadView>>(`${endpoint}?${params}`, signal);
  return { ...page, items: page.items.filter((view) => !view.own) };
}

export function getUpload(id: string, signal?: AbortSignal): Promise<UploadView> {
  return getJSON(uploadPath(id), signal);
}

// discardUpload deletes an upload on the server. A file that was imported stays in its store.
export async function discardUpload(id: string): Promise<void> {
  const response = await fetch(uploadPath(id), { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
  if (!response.ok && response.status !== 404 && response.status !== 410) throw await problemOf(response);
}

// managesUploads reports whether the caller can see and remove uploads of other users in a store.
// Without access control all uploads belong to everyone.
export function managesUploads(store: Store): boolean {
  return session().mode !== "none" && store.mode === "managed" && may("admin", store);
}

// acceptsUploads reports whether the caller can upload to a store.
export function acceptsUploads(store: Store): boolean {
  return store.mode === "managed" && may("write", store);
}

let asked: Promise<boolean> | null = null;

// mayUpload reports whether the caller can upload to any store, or create one. It is determined
// once per document.
export function mayUpload(): Promise<boolean> {
  if (may("write")) return Promise.resolve(true);
  if (session().mode !== "none" && !session().user) return Promise.resolve(false);
  asked ??= listStores().then((stores) => stores.some(acceptsUploads), () => false);
  return asked;
}
