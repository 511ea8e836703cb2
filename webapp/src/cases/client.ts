// Requests about cases.

import { getJSON, request, type ListedImage } from "../api/client";
import type { Page, SlideImage } from "../api/types";

// A Case is in a list; its slides are in a CaseDetail.
export interface Case {
  accession: string;
  store: string; // id
  store_label: string;
  images: number;
  blocks: string[];
  stains: string[];
  newest: string | null; // null if no slide has arrived
  thumbnail_id: string | null;
  complete?: boolean | null; // whether all ordered slides have arrived; absent if none were ordered
  missing?: number | null; // of the ordered slides
}

// An ExpectedSlide was ordered by the laboratory system.
export interface ExpectedSlide {
  barcode: string | null;
  part: string | null;
  block: string | null;
  stain: string | null;
  state: "missing" | "arrived" | "cancelled";
}

export interface CaseDetail extends Case {
  slides: SlideImage[];
  expected?: ExpectedSlide[] | null;
}

export interface CaseQuery {
  q: string;
  store: string;
  sort: string;
}

// A Tried image is what a case pattern finds in one of the newest images of a store.
export interface Tried {
  id: string;
  barcode: string | null;
  file_name: string | null;
  folder: string | null;
  source: string | null;
  accession: string | null;
  part: string | null;
  block: string | null;
  stain: string | null;
}

export function listCases(query: CaseQuery, cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<Case>> {
  const params = new URLSearchParams({ limit: String(limit) });
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value);
  if (cursor) params.set("cursor", cursor);
  return getJSON(`/api/v1/cases?${params}`, signal);
}

// getCase returns the case of each store that has this accession number, or of one store.
export async function getCase(accession: string, store: string | null, signal?: AbortSignal): Promise<CaseDetail[]> {
  const params = store ? `?${new URLSearchParams({ store })}` : "";
  return (await getJSON<{ items: CaseDetail[] }>(`/api/v1/cases/${encodeURIComponent(accession)}${params}`, signal)).items;
}

export async function tryPattern(store: string, pattern: string, source: string, signal?: AbortSignal): Promise<Tried[]> {
  const response = await request("POST", `/api/v1/stores/${encodeURIComponent(store)}/case-pattern`, { case_pattern: pattern, ...(source ? { case_source: source } : {}) }, signal);
  return ((await response.json()) as { items: Tried[] }).items;
}

export function caseAddress(accession: string, store?: string): string {
  return `/cases/${encodeURIComponent(accession)}${store ? `?${new URLSearchParams({ store })}` : ""}`;
}

// blockOf is the block of a slide behind its part: "A1".
export function blockOf(image: Pick<ListedImage, "part" | "block">): string {
  const part = image.part ?? "";
  const block = image.block ?? "";
  return block.startsWith(part) ? block : part + block;
}
