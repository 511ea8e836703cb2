// The query of the gallery in its address.

import type { ImageQuery } from "../api/client";

export const everything: ImageQuery = { q: "", store: "", state: "", sort: "created" };

// queryOf parses the search part of an address.
export function queryOf(search: string): ImageQuery {
  const params = new URLSearchParams(search);
  return { q: params.get("q") ?? "", store: params.get("store") ?? "", state: params.get("state") ?? "", sort: params.get("sort") || everything.sort };
}

// searchOf formats a query for queryOf, with "?"; "" for everything.
export function searchOf(query: ImageQuery): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value && !(name === "sort" && value === everything.sort)) params.set(name, value);
  }
  return params.size ? `?${params}` : "";
}
