// Requests about share links.

import { getJSON, request } from "../api/client";
import type { Page, SlideImage } from "../api/types";
import { isFramed } from "./place";

export interface ShareLink {
  id: string;
  user: string;
  user_name: string;
  title: string;
  kind: "slides" | "case";
  images: string[];
  with_labels: boolean;
  password: boolean;
  state: "active" | "expired" | "revoked";
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
  views: number;
  viewed_at: string | null;
  url: string | null;
}

export interface NewShare {
  images?: string[];
  store?: string;
  accession?: string;
  title?: string;
  hours: number;
  password?: string;
  with_labels?: boolean;
}

export interface SharedSlides {
  title: string;
  with_labels: boolean;
  expires_at: string;
  items: SlideImage[];
}

const shares = "/api/v1/shares";
const of = (id: string): string => `${shares}/${encodeURIComponent(id)}`;
const stay = { redirectToLogin: false };

export const listShares = async (all: boolean, signal?: AbortSignal): Promise<ShareLink[]> => (await getJSON<Page<ShareLink>>(`${shares}${all ? "?all=true" : ""}`, signal)).items;
export const addShare = async (share: NewShare): Promise<ShareLink> => (await (await request("POST", shares, share)).json()) as ShareLink;
export const revokeShare = async (id: string): Promise<void> => void (await request("DELETE", of(id)));

// openShare exchanges the secret of a link for a cookie.
export async function openShare(id: string, secret: string, password: string): Promise<void> {
  await request("POST", `${of(id)}/open`, { secret, ...(password ? { password } : {}), ...(isFramed() ? { framed: true } : {}) }, undefined, stay);
}

export const viewShare = async (id: string, signal: AbortSignal): Promise<SharedSlides> => (await (await request("GET", `${of(id)}/view`, undefined, signal, stay)).json()) as SharedSlides;
