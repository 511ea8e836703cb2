// Requests to /api/v1/uploads, besides those of the tus protocol.

import { getJSON, listStores, problemOf } from "../api/client";
import { may, session } from "../access/session";
import type { Page, Store } from "../api/types";
import type { UploadView } from "./types";

export const endpoint = "/api/v1/uploads";

export const uploadPath = (id: string): string => `${endpoint}/${encodeURIComponent(id)}`;

// listUploads are those that the caller has begun, the newest first.
export async function listUploads(signal?: AbortSignal): Promise<UploadView[]> {
  return (await getJSON<Page<UploadView>>(endpoint, signal)).items;
}

// listOthers are the uploads that others have begun and not completed, in the stores
// that the caller is an admin of: a page, the newest first.
export async function listOthers(cursor: string | null, signal?: AbortSignal): Promise<Page<UploadView>> {
  const params = new URLSearchParams({ all: "true", state: "uploading" });
  if (cursor) params.set("cursor", cursor);
  const page = await getJSON<Page<UploadView>>(`${endpoint}?${params}`, signal);
  return { ...page, items: page.items.filter((view) => !view.own) };
}

export function getUpload(id: string, signal?: AbortSignal): Promise<UploadView> {
  return getJSON(uploadPath(id), signal);
}

// discardUpload has the server forget an upload. A file that a store was given
// stays there.
export async function discardUpload(id: string): Promise<void> {
  const response = await fetch(uploadPath(id), { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
  if (!response.ok && response.status !== 404 && response.status !== 410) throw await problemOf(response);
}

// removesUploads reports whether the caller may see and remove what others upload into
// a store. Without access control all uploads are everybody's.
export function removesUploads(store: Store): boolean {
  return session().mode !== "none" && store.mode === "managed" && may("admin", store);
}

// takesUploads reports whether the caller may upload into a store.
export function takesUploads(store: Store): boolean {
  return store.mode === "managed" && may("write", store);
}

let asked: Promise<boolean> | null = null;

// mayUpload reports whether the caller may upload anywhere, or make a store for it.
// It is found out once for each document.
export function mayUpload(): Promise<boolean> {
  if (may("write")) return Promise.resolve(true);
  if (session().mode !== "none" && !session().user) return Promise.resolve(false);
  asked ??= listStores().then((stores) => stores.some(takesUploads), () => false);
  return asked;
}
