import type { SlideImage } from "../api/types";

export interface Merged {
  items: SlideImage[];
  fresh: number; // slides that were not in the list
}

// merge brings a loaded list up to date with its first page asked for anew.
// Slides of the page stand where the page has them. What stood behind the page's
// last slide follows as it was; what stood before it and is not in the page has
// gone. all tells that the page is the whole list.
export function merge(items: SlideImage[], page: SlideImage[], all: boolean): Merged {
  const place = new Map(items.map((item, i) => [item.id, i]));
  const fresh = page.filter((item) => !place.has(item.id)).length;
  if (all) return { items: page.slice(), fresh };
  const last = page.findLast((item) => place.has(item.id));
  const inPage = new Set(page.map((item) => item.id));
  const rest = items.slice(last ? place.get(last.id)! + 1 : 0).filter((item) => !inPage.has(item.id));
  return { items: [...page, ...rest], fresh };
}
