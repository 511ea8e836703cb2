import type { ListedImage } from "../api/client";

export interface Merged {
  items: ListedImage[];
  fresh: number; // number of slides that were not in the list
}

// merge updates a loaded list with its reloaded first page. Slides of the page are in the order of
// the page. Slides behind the last slide of the page follow unchanged; slides before it that are
// not in the page are removed. all means that the page is the entire list.
export function merge(items: ListedImage[], page: ListedImage[], all: boolean): Merged {
  const place = new Map(items.map((item, i) => [item.id, i]));
  const fresh = page.filter((item) => !place.has(item.id)).length;
  if (all) return { items: page.slice(), fresh };
  const last = page.findLast((item) => place.has(item.id));
  const inPage = new Set(page.map((item) => item.id));
  const rest = items.slice(last ? place.get(last.id)! + 1 : 0).filter((item) => !inPage.has(item.id));
  return { items: [...page, ...rest], fresh };
}
